"""Linear probes: how well a linear classifier predicts the class from the latents, or from reference features."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from vae_tf.data.modality import get_modality
from vae_tf.data.pipeline import evaluation_batches
from vae_tf.data.standard import load_official_folds
from vae_tf.metrics.encoding import BATCH_SIZE, evenly_spaced
from vae_tf.metrics.metric import METRICS
from vae_tf.metrics.suite import Estimates, EvaluationContext

if TYPE_CHECKING:
    from vae_tf.data.sources import ExampleSource
    from vae_tf.model.vae import VAE

ACCURACY = "probe_accuracy_latents"
# It has a separate name because the encoder is given the class: the accuracy then measures leakage, and neither higher
# nor lower is better.
CONDITIONAL_ACCURACY = "class_left_in_latents"
REFERENCES = ("pixels", "pca")
MAX_TRAINING_EXAMPLES = 10_000
MAX_CLASSES = 100  # the time grows with the number of classes
MAX_PROBE_IMAGE_SIZE = 32
INVERSE_REGULARIZATION = 0.1
TOLERANCE = 1e-3  # with 784 pixels, the default 1e-4 takes seven times as long for the same accuracy
MAX_ITERATIONS = 2000


def linear_probe(
    train_features: np.ndarray, train_labels: np.ndarray, test_features: np.ndarray, test_labels: np.ndarray
) -> np.ndarray:
    """Returns whether logistic regression on standardized features classifies each test example correctly.

    Source: Alain & Bengio 2016.

    Args:
        train_features: Features to train on, `(N, D)`.
        train_labels: Their classes `(N,)`, with at least two different classes.
        test_features: Features to classify, `(M, D)`.
        test_labels: Their classes `(M,)`.

    Returns:
        bool `(M,)`.
    """
    classifier = LogisticRegression(C=INVERSE_REGULARIZATION, tol=TOLERANCE, max_iter=MAX_ITERATIONS)
    # The matrix products are too small to gain from threads, and the result would depend on the number of threads.
    with threadpool_limits(1):
        predicted = make_pipeline(StandardScaler(), classifier).fit(train_features, train_labels).predict(test_features)
    return np.asarray(predicted == test_labels)


def probe_metrics(context: EvaluationContext, train: "ExampleSource") -> tuple[Estimates, dict[str, Estimates]]:
    """Returns the accuracy of a probe on the posterior means, and of a probe on each of `REFERENCES`.

    The references are the pixels, and as many principal components of the pixels as there are latent dimensions. Both
    results are empty if the examples have no classes, only one class, or more than a hundred.

    Args:
        context: The run, its model and its data.
        train: The training and validation splits together. If the validation split is evaluated, the probe is trained
            on the training split only.
    """
    training_sets, note = _probe_training_sets(context, train)
    test_labels = context.examples.labels
    if test_labels is None or not all(_has_usable_classes(examples.labels) for examples in training_sets):
        return {}, {}
    name = ACCURACY
    if context.config.conditional:
        name, note = CONDITIONAL_ACCURACY, f"{note}; the encoder is given the class"
    test = _encode_and_flatten(context.model, context.batches(BATCH_SIZE))
    # One row per training set; one column for the latents and one per reference.
    correct = np.array([_evaluate_probes(context, examples, test, test_labels) for examples in training_sets])
    latents, *references = (
        {name: METRICS[name].mean(column, context.seed, note=note)} for column in correct.mean(axis=0)
    )
    return latents, dict(zip(REFERENCES, references, strict=True))


def _probe_training_sets(context: EvaluationContext, train: "ExampleSource") -> tuple[list["ExampleSource"], str]:
    """Returns the training sets of the probe, by the dataset's official protocol if any, and a note about them."""
    if context.split == "test" and (folds := load_official_folds(context.config)):
        note = f"logistic regression, mean over {len(folds)} official folds of {len(folds[0]):,} training examples"
        return [train.subset(fold) for fold in folds], note
    examples = evenly_spaced(train if context.split == "test" else context.splits.train, MAX_TRAINING_EXAMPLES)
    return [examples], f"logistic regression on {len(examples):,} training examples"


def _has_usable_classes(labels: np.ndarray | None) -> bool:
    return labels is not None and 2 <= len(np.unique(labels)) <= MAX_CLASSES


def _evaluate_probes(
    context: EvaluationContext, examples: "ExampleSource", test: tuple[np.ndarray, np.ndarray], test_labels: np.ndarray
) -> list[np.ndarray]:
    """Returns whether each test example is classified correctly `(M,)`, by latents, pixels and components."""
    config = context.config.model_copy(update={"seed": 0, "batch_size": BATCH_SIZE})
    batches = evaluation_batches(examples, config, context.splits.spec.example_shape, "train").as_numpy_iterator()
    means, pixels = _encode_and_flatten(context.model, batches)
    test_means, test_pixels = test
    pca = PCA(min(means.shape[1], *pixels.shape), random_state=context.seed).fit(pixels)
    labels = examples.labels
    assert labels is not None  # checked by probe_metrics
    return [
        linear_probe(features, labels, test_features, test_labels)
        for features, test_features in (
            (means, test_means),
            (pixels, test_pixels),
            (pca.transform(pixels), pca.transform(test_pixels)),
        )
    ]


def _encode_and_flatten(model: "VAE", batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns posterior means `(N, Z)`, and the flattened inputs `(N, D)` of images of at most 32x32 pixels."""
    rows = [
        (model.encode(batch.inputs, batch.labels), _flatten(batch.inputs)) for batch in map(model.unpack_batch, batches)
    ]
    means, pixels = zip(*rows, strict=True)
    return np.concatenate(means), np.concatenate(pixels)


def _flatten(inputs: np.ndarray) -> np.ndarray:
    preprocess = get_modality(inputs.shape[1:]).preprocessor
    if preprocess is not None:
        height, width, channels = inputs.shape[1:]
        inputs = np.asarray(
            preprocess(inputs, (min(height, MAX_PROBE_IMAGE_SIZE), min(width, MAX_PROBE_IMAGE_SIZE), channels))
        )
    return inputs.reshape(len(inputs), -1)
