"""The metrics of a run's latents, reconstructions and samples, with reference values."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.loading import Splits, load_arrays
from vae_tf.data.pipeline import evaluation_batches, first_examples, without_corruption_and_conditioning
from vae_tf.metrics import latents, reconstruction
from vae_tf.metrics.baselines import Generator, noise_generator, pca_generators
from vae_tf.metrics.encoding import encode, evenly_spaced
from vae_tf.metrics.estimate import Estimate, bootstrap_error
from vae_tf.metrics.features import NUM_FEATURES, FeatureSpace, classifier_features, inception_features
from vae_tf.metrics.generation import frechet_distance, manifold_metrics
from vae_tf.metrics.metric import METRICS
from vae_tf.support.errors import InputError

if TYPE_CHECKING:
    from vae_tf.data.sources import ExampleSource
    from vae_tf.model.sampler import Sampler
    from vae_tf.model.vae import VAE

MAX_SAMPLES = 10_000
FLOAT_BYTES, MAX_CLASSIFIER_BYTES = 4, 2**30  # 340,000 images of 28x28x1, 22,000 of 64x64x3
PSNR_GAIN = "psnr_gain"
BATCH_SIZE = 256

Estimates = dict[str, Estimate]


class TooFewImagesError(InputError):
    """There are too few images for the sample metrics; the other metrics are available."""


class EvaluationContext(NamedTuple):
    """The model under evaluation and its data."""

    config: RunConfig
    splits: Splits
    split: Literal["test", "val"]
    examples: "ExampleSource"
    model: "VAE"
    seed: int
    sampler: "Sampler | None" = None

    def batches(self, size: int = BATCH_SIZE, count: int | None = None) -> Iterator[np.ndarray]:
        """Yields batches of `size` examples of the split as model inputs; only the first `count` examples, if set."""
        examples = self.examples if count is None else self.examples.subset(np.arange(count))
        yield from self._batches(examples, self.config.model_copy(update={"batch_size": size}))

    def images(self) -> Iterator[np.ndarray]:
        """Yields the clean examples of the split, float32 `(B, H, W, C)`."""
        yield from self._batches(
            self.examples,
            without_corruption_and_conditioning(self.config).model_copy(update={"batch_size": BATCH_SIZE}),
        )

    def _batches(self, examples: "ExampleSource", config: RunConfig) -> Iterator[Any]:
        shape = self.splits.spec.example_shape
        yield from evaluation_batches(examples, config, shape, self.split).as_numpy_iterator()


def sha256_of(batches: Iterable[np.ndarray]) -> str:
    """Returns the SHA-256 of batches of examples; two runs with the same SHA-256 are evaluated on the same examples."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.tobytes())
    return digest.hexdigest()


def latent_metrics(context: EvaluationContext) -> tuple[Estimates, np.ndarray]:
    """Returns the metrics of the latents, and the KL of each latent dimension `(Z,)`.

    The metrics are active units and, if the posterior is diagonal normal, mutual information.
    """
    shape = context.splits.spec.example_shape
    encoded = encode(context.model, context.examples, context.config, shape, context.split)
    estimates = {"active_units": latents.active_units(encoded.means, context.seed)}
    if encoded.log_vars is not None:
        information = latents.mutual_information(encoded.means, encoded.log_vars, context.seed)
        estimates["mutual_information"] = information
    return estimates, encoded.kl_per_dimension


def reconstruction_metrics(context: EvaluationContext) -> Estimates:
    """Returns the MSE, PSNR and SSIM of the mean reconstructions; for rows, only the MSE.

    A denoising run also has a PSNR gain over its corrupted inputs.
    """
    metric_functions = context.splits.spec.modality.reconstruction_metrics
    is_denoising = context.config.corrupt != "none"
    values: dict[str, list[np.ndarray]] = {
        name: [] for name in (*metric_functions, *([PSNR_GAIN] if is_denoising else []))
    }
    for batch in map(context.model.unpack_batch, context.batches()):
        reconstructed = context.model.reconstruct(batch.inputs, batch.labels)
        for name, function in metric_functions.items():
            values[name].append(function(batch.target, reconstructed))
        if is_denoising:
            input_psnr = reconstruction.psnr(batch.target, batch.inputs)
            values[PSNR_GAIN].append(values["reconstruction_psnr"][-1] - input_psnr)
    modality = context.splits.spec.modality
    return {
        name: METRICS[name].mean(np.concatenate(batches), context.seed, modality) for name, batches in values.items()
    }


class ImageSampleMetrics:
    """Compares generated images with the images of the split, in a feature space.

    Args:
        context: The run, its model and its data.
        train: The training and validation splits together.
        features: `"classifier"` or `"inception"`.

    Raises:
        TooFewImagesError: A split has too few images.
        InputError: The feature space is not available.
    """

    def __init__(self, context: EvaluationContext, train: "ExampleSource", features: str) -> None:
        config, shape = (
            without_corruption_and_conditioning(context.config).model_copy(update={"seed": 0}),
            context.splits.spec.example_shape,
        )
        self._context = context
        self._num_samples = min(MAX_SAMPLES, len(train))
        self._train_images = first_examples(train, config, shape, "train", self._num_samples)
        _check_enough_images(min(self._num_samples, len(context.examples)), features)
        self._space = _feature_space(train, config, shape, features)
        self._real = np.concatenate([self._space.extract(batch) for batch in context.images()])

    def model_metrics(self) -> Estimates:
        """Returns the metrics of samples from the model."""
        return self._generator_metrics(_model_generator(self._context))

    def reference_metrics(self) -> dict[str, Estimates]:
        """Returns the same metrics for training images, noise and the other baselines."""
        images = self._train_images
        baselines = {
            **pca_generators(images, self._context.config.latent_dim, self._context.seed),
            "noise": noise_generator(images.shape[1:]),
        }
        return {
            "train_pictures": self._metrics(images),
            **{name: self._generator_metrics(generate) for name, generate in baselines.items()},
        }

    def _generator_metrics(self, generate: Generator) -> Estimates:
        return self._metrics(generate(self._num_samples, self._context.seed))

    def _metrics(self, images: np.ndarray) -> Estimates:
        """Returns the Fréchet distance, precision, recall, density and coverage of images `(N, H, W, C)`."""
        generated, seed, name = self._space.extract(images), self._context.seed, self._space.name
        distance = Estimate(
            frechet_distance(self._real, generated),
            METRICS["frechet_distance"].unit,
            bootstrap_error(frechet_distance, (self._real, generated), seed),
            len(self._real),
            seed,
            len(generated),
        )
        manifold = manifold_metrics(self._real, generated)._asdict()
        return {
            f"frechet_distance_{name}": distance,
            **{f"{key}_{name}": METRICS[key].mean(values, seed) for key, values in manifold.items()},
        }


def _feature_space(train: "ExampleSource", config: RunConfig, shape: tuple[int, ...], features: str) -> FeatureSpace:
    if features == "inception":
        return inception_features()
    if train.labels is None:
        (images, labels), _ = load_arrays()
        assert labels is not None
        return classifier_features(images, labels, "fashion_mnist_sample")
    subset = evenly_spaced(train, MAX_CLASSIFIER_BYTES // (FLOAT_BYTES * math.prod(shape)))
    images = first_examples(subset, config, shape, "train", len(subset))
    assert subset.labels is not None  # because the whole split has labels
    return classifier_features(images, subset.labels, config.dataset)


def sample_labels(context: EvaluationContext, count: int, seed: int) -> np.ndarray | None:
    """Returns random classes `(count,)` with the frequencies of the training set; `None` for an unconditional model."""
    if context.model.num_classes is None:
        return None
    labels = context.splits.train.labels
    assert labels is not None  # unlabelled data was rejected earlier
    return np.random.default_rng(seed).choice(labels, count)


def _model_generator(context: EvaluationContext) -> Generator:
    """Returns a function (n, seed) -> images: Bernoulli samples if the run binarizes its data, otherwise means."""

    def generate(n: int, seed: int) -> np.ndarray:
        means = np.clip(context.model.sample(n, seed, sample_labels(context, n, seed), sampler=context.sampler), 0, 1)
        if context.config.binarize == "none":
            return means
        return (np.random.default_rng(seed).random(means.shape) < means).astype(np.float32)

    return generate


def _check_enough_images(count: int, features: str) -> None:
    if count <= NUM_FEATURES[features]:
        raise TooFewImagesError(
            f"Sample metrics need more images than the {features} feature space has dimensions "
            f"({NUM_FEATURES[features]}). Received: {count}"
        )
