"""A linear probe: how well a linear classifier tells the classes apart by the latents, or by what they replace."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from vae_tf.data.pipeline import evaluation_batches, fit_pictures
from vae_tf.metrics.encoded import BATCH, spread
from vae_tf.metrics.estimate import mean_estimate
from vae_tf.metrics.suite import Scores, Subject

if TYPE_CHECKING:
    from vae_tf.data.sources import Examples
    from vae_tf.model.vae import VAE

ACCURACY = "probe_accuracy_latents"
# Another name, because it is another question: the encoder was told the class, and no accuracy is better.
TOLD_ACCURACY = "class_left_in_latents"
REFERENCES = ("pixels", "pca")
LARGEST_TRAINING = 10_000
LARGEST_CLASSES = 100  # the time grows with their number
LARGEST_SIDE = 32
INVERSE_PENALTY = 0.1
TOLERANCE = 1e-3  # on 784 pixels the usual 1e-4 takes seven times as long for the same accuracy
MAX_ITERATIONS = 2000


def linear_probe(features: np.ndarray, labels: np.ndarray, judged: np.ndarray, judged_labels: np.ndarray) -> np.ndarray:
    """Returns whether logistic regression on standardized features names the class of each judged example.

    Source: Alain & Bengio 2016.

    Args:
        features: To train on, `(N, D)`.
        labels: Their classes `(N,)`, at least two different ones.
        judged: Features to classify, `(M, D)`.
        judged_labels: Their classes `(M,)`.

    Returns:
        bool `(M,)`.
    """
    classifier = LogisticRegression(C=INVERSE_PENALTY, tol=TOLERANCE, max_iter=MAX_ITERATIONS)
    # The products are too small to wake several threads for, and the last digits would depend on their number.
    with threadpool_limits(1):
        predicted = make_pipeline(StandardScaler(), classifier).fit(features, labels).predict(judged)
    return np.asarray(predicted == judged_labels)


def probe_scores(subject: Subject, train: "Examples") -> tuple[Scores, dict[str, Scores]]:
    """Returns the accuracy of a probe on the posterior means, and on `REFERENCES`: pixels, and as many components.

    Both are empty where not everything has a class, and where there is one class, or more than a hundred.

    Args:
        subject: The run, its model and data.
        train: From `whole_train_split`; what is judged on the validation part is trained on the rest alone.
    """
    examples = spread(train if subject.split == "test" else subject.splits.train, LARGEST_TRAINING)
    labels, judged_labels = examples.labels, subject.examples.labels
    if labels is None or judged_labels is None or not 2 <= len(np.unique(labels)) <= LARGEST_CLASSES:
        return {}, {}
    config = subject.config.model_copy(update={"seed": 0, "batch_size": BATCH})
    batches = evaluation_batches(examples, config, subject.splits.spec.example_shape, "train").as_numpy_iterator()
    means, pixels = _means_and_pixels(subject.model, batches)
    judged_means, judged_pixels = _means_and_pixels(subject.model, subject.batches(BATCH))
    pca = PCA(min(means.shape[1], *pixels.shape), random_state=subject.seed).fit(pixels)
    name, note = ACCURACY, f"of logistic regression on {len(labels):,} training examples"
    if subject.config.conditional:
        name, note = TOLD_ACCURACY, f"{note}; the encoder was told the class"

    def score(features: np.ndarray, judged: np.ndarray) -> Scores:
        correct = linear_probe(features, labels, judged, judged_labels)
        return {name: mean_estimate(correct, "1", subject.seed, note=note)}

    rows = (score(pixels, judged_pixels), score(pca.transform(pixels), pca.transform(judged_pixels)))
    return score(means, judged_means), dict(zip(REFERENCES, rows, strict=True))


def _means_and_pixels(model: "VAE", batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means `(N, Z)`, and what the encoder saw, flat and at most 32 pixels a side, `(N, D)`."""
    rows = [(model.encode(seen.inputs, seen.labels), _flat(seen.inputs)) for seen in map(model.observed, batches)]
    means, pixels = zip(*rows, strict=True)
    return np.concatenate(means), np.concatenate(pixels)


def _flat(inputs: np.ndarray) -> np.ndarray:
    if inputs.ndim > 2:
        height, width, channels = inputs.shape[1:]
        inputs = np.asarray(fit_pictures(inputs, (min(height, LARGEST_SIDE), min(width, LARGEST_SIDE), channels)))
    return inputs.reshape(len(inputs), -1)
