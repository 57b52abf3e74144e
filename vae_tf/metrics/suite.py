"""All metrics of a run except the likelihood: latents, reconstructions and samples, with reference values."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.catalog import Splits, load_arrays
from vae_tf.data.pipeline import clean, evaluation_batches, first_images
from vae_tf.metrics import latents, reconstruction
from vae_tf.metrics.encoded import encode, spread
from vae_tf.metrics.estimate import Estimate, bootstrap_error
from vae_tf.metrics.features import FeatureSpace, classifier_features, inception_features
from vae_tf.metrics.generation import frechet_distance, manifold_scores
from vae_tf.metrics.generators import Generator, noise_generator, pca_generators
from vae_tf.metrics.metric import METRICS
from vae_tf.support.errors import InputError

if TYPE_CHECKING:
    from vae_tf.data.sources import Examples
    from vae_tf.model.sampler import Sampler
    from vae_tf.model.vae import VAE

LARGEST_SAMPLE = 10_000
FLOAT_BYTES, CLASSIFIER_BYTES = 4, 2**30  # 340,000 images of 28x28x1, 22,000 of 64x64x3
PSNR_GAIN = "psnr_gain"
BATCH = 256

Scores = dict[str, Estimate]


class TooFewImagesError(InputError):
    """There are too few images for the metrics of samples; the other metrics are available."""


class Subject(NamedTuple):
    """A model to measure, and the data to measure it on."""

    config: RunConfig
    splits: Splits
    split: Literal["test", "val"]
    examples: "Examples"
    model: "VAE"
    seed: int
    sampler: "Sampler | None" = None

    def batches(self, size: int = BATCH, count: int | None = None) -> Iterator[np.ndarray]:
        """Yields the split in batches of `size` as the model takes them; only the first `count` examples, if set."""
        some = self.examples if count is None else self.examples.subset(np.arange(count))
        yield from self._batches(some, self.config.model_copy(update={"batch_size": size}))

    def pictures(self) -> Iterator[np.ndarray]:
        """Yields the clean examples of the split, float32 `(B, H, W, C)`."""
        yield from self._batches(self.examples, clean(self.config).model_copy(update={"batch_size": BATCH}))

    def _batches(self, examples: "Examples", config: RunConfig) -> Iterator[Any]:
        shape = self.splits.spec.example_shape
        yield from evaluation_batches(examples, config, shape, self.split).as_numpy_iterator()


def fingerprint(batches: Iterable[np.ndarray]) -> str:
    """Returns the SHA-256 of batches of examples; it is equal if two runs are measured on the same examples."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.tobytes())
    return digest.hexdigest()


def latent_scores(subject: Subject) -> tuple[Scores, np.ndarray]:
    """Returns the metrics of the latents, and the KL of each latent dimension `(Z,)`.

    The metrics are active units and, if the posterior is normal, mutual information.
    """
    shape = subject.splits.spec.example_shape
    encoded = encode(subject.model, subject.examples, subject.config, shape, subject.split)
    scores = {"active_units": latents.active_units(encoded.means, subject.seed)}
    if encoded.log_vars is not None:
        information = latents.mutual_information(encoded.means, encoded.log_vars, subject.seed)
        scores["mutual_information"] = information
    return scores, encoded.kl_per_dimension


def reconstruction_scores(subject: Subject) -> Scores:
    """Returns MSE, PSNR and SSIM of the mean reconstructions; for rows, only the MSE.

    A denoising run also gets the PSNR gain over its corrupted inputs.
    """
    measures = subject.splits.spec.modality.reconstruction_measures
    restores = subject.config.corrupt != "none"
    values: dict[str, list[np.ndarray]] = {name: [] for name in (*measures, *([PSNR_GAIN] if restores else []))}
    for seen in map(subject.model.observed, subject.batches()):
        reconstructed = subject.model.reconstruct(seen.inputs, seen.labels)
        for name, measure in measures.items():
            values[name].append(measure(seen.target, reconstructed))
        if restores:
            before, after = reconstruction.psnr(seen.target, seen.inputs), values["reconstruction_psnr"][-1]
            values[PSNR_GAIN].append(after - before)
    modality = subject.splits.spec.modality
    return {name: METRICS[name].mean(np.concatenate(parts), subject.seed, modality) for name, parts in values.items()}


class ImageSampleMetrics:
    """Compares generated images with the images of the split, in a feature space.

    Args:
        subject: The run, its model and its data.
        train: The training set, including its validation part.
        features: `"classifier"` or `"inception"`.

    Raises:
        TooFewImagesError: A split is too small.
        InputError: The features are not available.
    """

    def __init__(self, subject: Subject, train: "Examples", features: str) -> None:
        config, shape = clean(subject.config).model_copy(update={"seed": 0}), subject.splits.spec.example_shape
        self._subject = subject
        self._num_samples = min(LARGEST_SAMPLE, len(train))
        self._train_pictures = first_images(train, config, shape, "train", self._num_samples)
        self._space = _feature_space(train, config, shape, features)
        _check_enough(min(self._num_samples, len(subject.examples)), self._space)
        self._real = np.concatenate([self._space.extract(batch) for batch in subject.pictures()])

    def model_scores(self) -> Scores:
        """Returns the metrics of samples from the model."""
        return self._generator_scores(_model_generator(self._subject))

    def reference_scores(self) -> dict[str, Scores]:
        """Returns the same metrics for training images, noise and simple generators."""
        pictures = self._train_pictures
        generators = {
            **pca_generators(pictures, self._subject.config.latent_dim, self._subject.seed),
            "noise": noise_generator(pictures.shape[1:]),
        }
        return {
            "train_pictures": self._scores(pictures),
            **{name: self._generator_scores(generate) for name, generate in generators.items()},
        }

    def _generator_scores(self, generate: Generator) -> Scores:
        return self._scores(generate(self._num_samples, self._subject.seed))

    def _scores(self, pictures: np.ndarray) -> Scores:
        """Returns the Frechet distance, precision, recall, density and coverage of images `(N, H, W, C)`."""
        generated, seed, name = self._space.extract(pictures), self._subject.seed, self._space.name
        distance = Estimate(
            frechet_distance(self._real, generated),
            METRICS["frechet_distance"].unit,
            bootstrap_error(frechet_distance, (self._real, generated), seed),
            len(self._real),
            seed,
            len(generated),
        )
        manifold = manifold_scores(self._real, generated)._asdict()
        return {
            f"frechet_distance_{name}": distance,
            **{f"{key}_{name}": METRICS[key].mean(values, seed) for key, values in manifold.items()},
        }


def _feature_space(train: "Examples", config: RunConfig, shape: tuple[int, ...], features: str) -> FeatureSpace:
    if features == "inception":
        return inception_features()
    if train.labels is None:
        (images, labels), _ = load_arrays()
        assert labels is not None
        return classifier_features(images, labels, "fashion_mnist_sample")
    some = spread(train, CLASSIFIER_BYTES // (FLOAT_BYTES * math.prod(shape)))
    images = first_images(some, config, shape, "train", len(some))
    assert some.labels is not None  # because the whole split has labels
    return classifier_features(images, some.labels, config.dataset)


def drawn_classes(subject: Subject, count: int, seed: int) -> np.ndarray | None:
    """Returns random classes `(count,)` with the frequencies of the training set, for a conditional model.

    For a model without classes, returns `None`.
    """
    if subject.model.num_classes is None:
        return None
    labels = subject.splits.train.labels
    assert labels is not None  # data without labels has been refused
    return np.random.default_rng(seed).choice(labels, count)


def _model_generator(subject: Subject) -> Generator:
    """Returns a function (n, seed) -> images like the data: drawn 0/1 if the run binarizes, otherwise means."""

    def generate(n: int, seed: int) -> np.ndarray:
        means = np.clip(subject.model.sample(n, seed, drawn_classes(subject, n, seed), sampler=subject.sampler), 0, 1)
        if subject.config.binarize == "none":
            return means
        return (np.random.default_rng(seed).random(means.shape) < means).astype(np.float32)

    return generate


def _check_enough(count: int, space: FeatureSpace) -> None:
    if count <= space.size:
        raise TooFewImagesError(
            f"Sample scores need more pictures than the {space.size} features of {space.name}. Received: {count}"
        )
