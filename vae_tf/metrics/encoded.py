"""Encodes a dataset: posterior means and variances, and the KL of each latent dimension."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vae_tf.backend.compiled import compiled
from vae_tf.config import RunConfig
from vae_tf.data.pipeline import Split, evaluation_batches
from vae_tf.metrics.elbo import seeded
from vae_tf.metrics.latents import normal_kl
from vae_tf.model.latents import FlatLatents
from vae_tf.model.posterior import DiagonalNormal
from vae_tf.model.prior import StandardNormal

if TYPE_CHECKING:
    from vae_tf.data.sources import Examples
    from vae_tf.model.vae import VAE, Observed

BATCH = 1024
KL_DRAWS = 16


class Encoded(NamedTuple):
    """The latents of N examples.

    Attributes:
        means: Representation of each example: its posterior mean, float32 `(N, Z)`.
        log_vars: Log variances of the posteriors, float32 `(N, Z)`; `None` if they are not single diagonal normals.
        kl_per_dimension: KL(q(z_j | x) || p(z_j)) averaged over the examples, float64 `(Z,)`, in nats.
        labels: Class of each example `(N,)`, or `None`.
    """

    means: np.ndarray
    log_vars: np.ndarray | None
    kl_per_dimension: np.ndarray
    labels: np.ndarray | None


def encode(
    model: "VAE", examples: "Examples", config: RunConfig, example_shape: tuple[int, ...], split: Split
) -> Encoded:
    """Returns the latents of all examples, in their order, after the run's corruption and binarization.

    Args:
        model: The run's model.
        examples: The N examples to encode.
        config: The run's config.
        example_shape: Shape the model takes, `(height, width, channels)` or `(features,)`.
        split: The split the examples belong to.
    """
    in_large_batches = config.model_copy(update={"batch_size": BATCH})
    batches = evaluation_batches(examples, in_large_batches, example_shape, split)
    means, log_vars = _means_and_log_vars(model, batches.as_numpy_iterator())
    if log_vars is not None and type(model.prior) is StandardNormal:
        kl = normal_kl(means, log_vars)
    else:
        kl = _drawn_kl(model, batches.as_numpy_iterator())
    return Encoded(means, log_vars, kl, examples.labels)


def _means_and_log_vars(model: "VAE", batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray | None]:
    latents = model.latents
    if not (isinstance(latents, FlatLatents) and type(latents.posterior) is DiagonalNormal):
        return np.concatenate([model.encode(seen.inputs, seen.labels) for seen in map(model.observed, batches)]), None
    params = [model.posterior_params(seen.inputs, seen.labels) for seen in map(model.observed, batches)]
    means, log_vars = np.split(np.concatenate(params), 2, axis=-1)
    return means, log_vars


def _drawn_kl(model: "VAE", batches: Iterable[Any]) -> np.ndarray:
    """Returns the mean KL of each latent dimension over the data, float64 `(Z,)`, estimated from a few draws."""

    @compiled
    def kl(seen: "Observed", seeds: keras.KerasTensor) -> keras.KerasTensor:
        noise = model.latents.noise(ops.shape(seen.inputs)[0], KL_DRAWS, seeds)
        return model.latents.kl_per_dimension(model.latents.infer(seen.inputs, seen.labels, noise))

    values = [kl(seen, seeds) for seen, seeds in seeded(model, batches, seed=0)]
    return np.concatenate(values).astype(np.float64).mean(axis=0)


def spread(examples: "Examples", count: int) -> "Examples":
    """Returns `count` examples at equal steps through a dataset, which may be sorted by class."""
    count = min(count, len(examples))
    return examples.subset(np.arange(count) * len(examples) // count)
