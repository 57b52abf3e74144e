"""Latent traversals: images decoded while one latent dimension varies and the others stay fixed."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.loading import Splits
from vae_tf.data.pipeline import first_batch
from vae_tf.metrics.encoding import EncodedExamples, encode, evenly_spaced

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE

TRAVERSAL_VALUES = np.linspace(-3, 3, 7, dtype=np.float32)
MAX_DIMENSIONS = 10
MAX_EXAMPLES = 2_500


class Traversal(NamedTuple):
    """Decoded images, with a row for each of R latent dimensions and a column for each of S values.

    Attributes:
        dimensions: Indices of the latent dimensions in order of decreasing KL, int64 `(R,)`.
        kl: KL(q(z_j | x) || p(z_j)) of each dimension, averaged over the data, in nats, float64 `(R,)`.
        values: Values that the dimension is set to, from -3 to 3, float32 `(S,)`.
        traversals: Decoded means, float32 `(R, S, H, W, C)`.
    """

    dimensions: np.ndarray
    kl: np.ndarray
    values: np.ndarray
    traversals: np.ndarray

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The images `(S, H, W, C)` of each row, keyed by a label with the dimension and its KL."""
        labels = [f"z{dimension}: {kl:.2f} nats" for dimension, kl in zip(self.dimensions, self.kl, strict=True)]
        return dict(zip(labels, self.traversals, strict=True))

    @property
    def columns(self) -> list[str]:
        """The values as strings."""
        return [f"{value:g}" for value in self.values]


def encode_test_examples(model: "VAE", config: RunConfig, splits: Splits) -> EncodedExamples:
    """Returns the latents of up to 2,500 evenly spaced test examples.

    Args:
        model: The run's model.
        config: The run's config.
        splits: The run's data.
    """
    return encode(model, evenly_spaced(splits.test, MAX_EXAMPLES), config, splits.spec.example_shape, "test")


def traverse(
    model: "VAE", config: RunConfig, splits: Splits, encoded: EncodedExamples, num: int = MAX_DIMENSIONS
) -> Traversal:
    """Returns traversals of the dimensions with the highest KL, from the posterior mean of the first test image.

    Each dimension is set to values from -3 to 3 while the others stay fixed (Higgins et al. 2017, section 4.1).

    Args:
        model: The run's model.
        config: The run's config.
        splits: The run's data.
        encoded: The encoded examples that the KL is averaged over.
        num: Number of dimensions to traverse, or all if the model has fewer.
    """
    first = model.unpack_batch(first_batch(splits.test, config, splits.spec.example_shape, "test", 1))
    kl = encoded.kl_per_dimension
    dimensions = np.argsort(-kl, kind="stable")[:num]
    base = model.to_base(model.encode(first.inputs, first.labels))
    u = np.tile(base, (len(dimensions), len(TRAVERSAL_VALUES), 1))
    u[np.arange(len(dimensions)), :, dimensions] = TRAVERSAL_VALUES
    flat = model.from_base(u.reshape(-1, u.shape[-1]))
    decoded = model.decode(flat, None if first.labels is None else np.repeat(first.labels, len(flat)))
    return Traversal(dimensions, kl[dimensions], TRAVERSAL_VALUES, decoded.reshape(*u.shape[:2], *decoded.shape[1:]))
