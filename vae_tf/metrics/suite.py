"""Every score of one run but its likelihood: latents, reconstructions and samples, beside what makes them readable."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.catalog import Splits, load_arrays
from vae_tf.data.pipeline import clean, evaluation_batches, first_pictures
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
FLOAT_BYTES, CLASSIFIER_BYTES = 4, 2**30  # 340,000 pictures of 28x28x1, 22,000 of 64x64x3
PSNR_GAIN = "psnr_gain"
BATCH = 256

Scores = dict[str, Estimate]


class TooFewPicturesError(InputError):
    """There are too few pictures for the scores of samples; all others can be had."""


class Subject(NamedTuple):
    """What is measured, on what."""

    config: RunConfig
    splits: Splits
    split: Literal["test", "val"]
    examples: "Examples"
    model: "VAE"
    seed: int
    sampler: "Sampler | None" = None

    def batches(self, size: int = BATCH, count: int | None = None) -> Iterator[np.ndarray]:
        """Yields the split in batches as the model takes them, `size` at a time, the first `count` examples."""
        some = self.examples if count is None else self.examples.subset(np.arange(count))
        yield from self._batches(some, self.config.model_copy(update={"batch_size": size}))

    def pictures(self) -> Iterator[np.ndarray]:
        """Yields the examples of the split as they should be, float32 `(B, H, W, C)`."""
        yield from self._batches(self.examples, clean(self.config).model_copy(update={"batch_size": BATCH}))

    def _batches(self, examples: "Examples", config: RunConfig) -> Iterator[Any]:
        shape = self.splits.spec.example_shape
        yield from evaluation_batches(examples, config, shape, self.split).as_numpy_iterator()


def fingerprint(batches: Iterable[np.ndarray]) -> str:
    """Returns the SHA-256 of the pictures in batches: equal where two runs are measured on the same ones."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.tobytes())
    return digest.hexdigest()


def latent_scores(subject: Subject) -> tuple[Scores, np.ndarray]:
    """Returns active units and mutual information, and the KL of each latent dimension `(Z,)`."""
    shape = subject.splits.spec.example_shape
    encoded = encode(subject.model, subject.examples, subject.config, shape, subject.split)
    scores = {"active_units": latents.active_units(encoded.means, subject.seed)}
    if encoded.log_vars is not None:
        information = latents.mutual_information(encoded.means, encoded.log_vars, subject.seed)
        scores["mutual_information"] = information
    return scores, encoded.kl_per_dimension


def reconstruction_scores(subject: Subject) -> Scores:
    """Returns MSE, PSNR and SSIM of the mean reconstructions, and what a restoring model gains; of rows MSE alone."""
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


class SampleJudge:
    """Scores generated pictures against the pictures of the split, in a feature space.

    Args:
        subject: The run, its model and data.
        train: The training set, its validation part included.
        features: `"classifier"` or `"inception"`.

    Raises:
        TooFewPicturesError: A split is too small.
        InputError: The features can't be had.
    """

    def __init__(self, subject: Subject, train: "Examples", features: str) -> None:
        config, shape = clean(subject.config).model_copy(update={"seed": 0}), subject.splits.spec.example_shape
        self._subject = subject
        self._num_samples = min(LARGEST_SAMPLE, len(train))
        self._train_pictures = first_pictures(train, config, shape, "train", self._num_samples)
        self._space = _feature_space(train, config, shape, features)
        _check_enough(min(self._num_samples, len(subject.examples)), self._space)
        self._real = np.concatenate([self._space.extract(batch) for batch in subject.pictures()])

    def model_scores(self) -> Scores:
        """Returns the scores of the model's prior samples."""
        return self._generator_scores(_model_generator(self._subject))

    def reference_scores(self) -> dict[str, Scores]:
        """Returns the scores that make the model's readable: of training pictures, noise and simple generators."""
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
        """Frechet distance, precision, recall, density and coverage of pictures `(N, H, W, C)`."""
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
    images = first_pictures(some, config, shape, "train", len(some))
    assert some.labels is not None  # as those of the whole split
    return classifier_features(images, some.labels, config.dataset)


def drawn_classes(subject: Subject, count: int, seed: int) -> np.ndarray | None:
    """Returns classes `(count,)` as often as the train split has them, for a conditional model, else `None`."""
    if subject.model.num_classes is None:
        return None
    labels = subject.splits.train.labels
    assert labels is not None  # or the data would have been refused
    return np.random.default_rng(seed).choice(labels, count)


def _model_generator(subject: Subject) -> Generator:
    """(n, seed) -> pictures as the data has them: drawn 0/1 where it is binarized, else means."""

    def generate(n: int, seed: int) -> np.ndarray:
        means = np.clip(subject.model.sample(n, seed, drawn_classes(subject, n, seed), sampler=subject.sampler), 0, 1)
        if subject.config.binarize == "none":
            return means
        return (np.random.default_rng(seed).random(means.shape) < means).astype(np.float32)

    return generate


def _check_enough(count: int, space: FeatureSpace) -> None:
    if count <= space.size:
        raise TooFewPicturesError(
            f"Sample scores need more pictures than the {space.size} features of {space.name}. Received: {count}"
        )
