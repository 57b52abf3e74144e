"""A linear probe: how well a linear classifier predicts the class from the latents, or from reference features."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from vae_tf.data.modality import modality_of
from vae_tf.data.named import official_folds
from vae_tf.data.pipeline import evaluation_batches
from vae_tf.metrics.encoded import BATCH, spread
from vae_tf.metrics.metric import METRICS
from vae_tf.metrics.suite import Scores, Subject

if TYPE_CHECKING:
    from vae_tf.data.sources import Examples
    from vae_tf.model.vae import VAE

ACCURACY = "probe_accuracy_latents"
# It has its own name because it answers another question: the encoder was given the class, so no accuracy is better.
CONDITIONAL_ACCURACY = "class_left_in_latents"
REFERENCES = ("pixels", "pca")
LARGEST_TRAINING = 10_000
LARGEST_CLASSES = 100  # the time grows with the number of classes
LARGEST_SIDE = 32
INVERSE_PENALTY = 0.1
TOLERANCE = 1e-3  # on 784 pixels the default 1e-4 takes seven times as long for the same accuracy
MAX_ITERATIONS = 2000


def linear_probe(features: np.ndarray, labels: np.ndarray, judged: np.ndarray, judged_labels: np.ndarray) -> np.ndarray:
    """Returns whether logistic regression on standardized features classifies each judged example correctly.

    Source: Alain & Bengio 2016.

    Args:
        features: Features to train on, `(N, D)`.
        labels: Their classes `(N,)`, at least two different ones.
        judged: Features to classify, `(M, D)`.
        judged_labels: Their classes `(M,)`.

    Returns:
        bool `(M,)`.
    """
    classifier = LogisticRegression(C=INVERSE_PENALTY, tol=TOLERANCE, max_iter=MAX_ITERATIONS)
    # The matrix products are too small to gain from threads, and the last digits would depend on their number.
    with threadpool_limits(1):
        predicted = make_pipeline(StandardScaler(), classifier).fit(features, labels).predict(judged)
    return np.asarray(predicted == judged_labels)


def probe_scores(subject: Subject, train: "Examples") -> tuple[Scores, dict[str, Scores]]:
    """Returns the accuracy of a probe on the posterior means, and of a probe on each of `REFERENCES`.

    The references are the pixels, and as many principal components of the pixels as there are latents. Both results are
    empty if an example has no class, or if there is only one class or more than a hundred.

    Args:
        subject: The run, its model and its data.
        train: The training set, including its validation part. To judge the validation part, the probe is trained only
            on the rest.
    """
    trainings, note = _trainings(subject, train)
    judged_labels = subject.examples.labels
    if judged_labels is None or not all(_is_of_classes(examples.labels) for examples in trainings):
        return {}, {}
    name = ACCURACY
    if subject.config.conditional:
        name, note = CONDITIONAL_ACCURACY, f"{note}; the encoder is given the class"
    judged = _means_and_pixels(subject.model, subject.batches(BATCH))
    # One row per training set; one column for the latents and one per reference.
    correct = np.array([_correct(subject, examples, judged, judged_labels) for examples in trainings])
    latents, *references = (
        {name: METRICS[name].mean(column, subject.seed, note=note)} for column in correct.mean(axis=0)
    )
    return latents, dict(zip(REFERENCES, references, strict=True))


def _trainings(subject: Subject, train: "Examples") -> tuple[list["Examples"], str]:
    """Returns the training sets of the probe and a note about them, by the dataset's protocol if it has one."""
    if subject.split == "test" and (folds := official_folds(subject.config)):
        note = f"of logistic regression, mean over {len(folds)} official folds of {len(folds[0]):,} training examples"
        return [train.subset(fold) for fold in folds], note
    examples = spread(train if subject.split == "test" else subject.splits.train, LARGEST_TRAINING)
    return [examples], f"of logistic regression on {len(examples):,} training examples"


def _is_of_classes(labels: np.ndarray | None) -> bool:
    return labels is not None and 2 <= len(np.unique(labels)) <= LARGEST_CLASSES


def _correct(
    subject: Subject, examples: "Examples", judged: tuple[np.ndarray, np.ndarray], judged_labels: np.ndarray
) -> list[np.ndarray]:
    """Returns whether each judged example is classified correctly, `(M,)`: by latents, by pixels, by components."""
    config = subject.config.model_copy(update={"seed": 0, "batch_size": BATCH})
    batches = evaluation_batches(examples, config, subject.splits.spec.example_shape, "train").as_numpy_iterator()
    means, pixels = _means_and_pixels(subject.model, batches)
    judged_means, judged_pixels = judged
    pca = PCA(min(means.shape[1], *pixels.shape), random_state=subject.seed).fit(pixels)
    labels = examples.labels
    assert labels is not None  # probe_scores has checked it
    return [
        linear_probe(features, labels, wanted, judged_labels)
        for features, wanted in (
            (means, judged_means),
            (pixels, judged_pixels),
            (pca.transform(pixels), pca.transform(judged_pixels)),
        )
    ]


def _means_and_pixels(model: "VAE", batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns posterior means `(N, Z)`, and the encoder's inputs `(N, D)`, flat, at most 32 pixels a side."""
    rows = [(model.encode(seen.inputs, seen.labels), _flat(seen.inputs)) for seen in map(model.observed, batches)]
    means, pixels = zip(*rows, strict=True)
    return np.concatenate(means), np.concatenate(pixels)


def _flat(inputs: np.ndarray) -> np.ndarray:
    fit = modality_of(inputs.shape[1:]).preparation
    if fit is not None:
        height, width, channels = inputs.shape[1:]
        inputs = np.asarray(fit(inputs, (min(height, LARGEST_SIDE), min(width, LARGEST_SIDE), channels)))
    return inputs.reshape(len(inputs), -1)
