"""Encodes a dataset: posterior means and variances, and the KL of each latent dimension."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vae_tf.backend.compiled import compile_function
from vae_tf.config import RunConfig
from vae_tf.data.pipeline import Split, evaluation_batches
from vae_tf.metrics.elbo import with_example_seeds
from vae_tf.metrics.latents import normal_kl
from vae_tf.model.latents import FlatLatents
from vae_tf.model.posterior import DiagonalNormal
from vae_tf.model.prior import StandardNormal

if TYPE_CHECKING:
    from vae_tf.data.sources import ExampleSource
    from vae_tf.model.batch import Batch
    from vae_tf.model.vae import VAE

BATCH_SIZE = 1024
KL_SAMPLES = 16


class EncodedExamples(NamedTuple):
    """The latents of N examples.

    Attributes:
        means: Representation of each example: its posterior mean, float32 `(N, Z)`.
        log_vars: Log variance of each posterior, float32 `(N, Z)`; `None` if the posterior is not diagonal normal.
        kl_per_dimension: KL(q(z_j | x) || p(z_j)) averaged over the examples, float64 `(Z,)`, in nats.
        labels: Class of each example `(N,)`, or `None`.
    """

    means: np.ndarray
    log_vars: np.ndarray | None
    kl_per_dimension: np.ndarray
    labels: np.ndarray | None


def encode(
    model: "VAE", examples: "ExampleSource", config: RunConfig, example_shape: tuple[int, ...], split: Split
) -> EncodedExamples:
    """Returns the latents of all examples, in their order, after the run's corruption and binarization.

    Args:
        model: The run's model.
        examples: The N examples to encode.
        config: The run's config.
        example_shape: Input shape of the model, `(height, width, channels)` or `(features,)`.
        split: The split the examples belong to.
    """
    config_with_large_batches = config.model_copy(update={"batch_size": BATCH_SIZE})
    batches = evaluation_batches(examples, config_with_large_batches, example_shape, split)
    means, log_vars = _means_and_log_vars(model, batches.as_numpy_iterator())
    if log_vars is not None and type(model.prior) is StandardNormal:
        kl = normal_kl(means, log_vars)
    else:
        kl = _monte_carlo_kl(model, batches.as_numpy_iterator())
    return EncodedExamples(means, log_vars, kl, examples.labels)


def _means_and_log_vars(model: "VAE", batches: Iterable[Any]) -> tuple[np.ndarray, np.ndarray | None]:
    latents = model.latents
    if not (isinstance(latents, FlatLatents) and type(latents.posterior) is DiagonalNormal):
        return np.concatenate(
            [model.encode(batch.inputs, batch.labels) for batch in map(model.unpack_batch, batches)]
        ), None
    params = [model.posterior_params(batch.inputs, batch.labels) for batch in map(model.unpack_batch, batches)]
    means, log_vars = np.split(np.concatenate(params), 2, axis=-1)
    return means, log_vars


def _monte_carlo_kl(model: "VAE", batches: Iterable[Any]) -> np.ndarray:
    """Returns the mean KL of each latent dimension over the data, float64 `(Z,)`, estimated from a few samples."""

    @compile_function
    def kl(batch: "Batch", seeds: keras.KerasTensor) -> keras.KerasTensor:
        noise = model.latents.noise(ops.shape(batch.inputs)[0], KL_SAMPLES, seeds)
        return model.latents.kl_per_dimension(model.latents.infer(batch.inputs, batch.labels, noise))

    values = [kl(batch, seeds) for batch, seeds in with_example_seeds(model, batches, seed=0)]
    return np.concatenate(values).astype(np.float64).mean(axis=0)


def evenly_spaced(examples: "ExampleSource", count: int) -> "ExampleSource":
    """Returns `count` evenly spaced examples of a dataset, which may be sorted by class."""
    count = min(count, len(examples))
    return examples.subset(np.arange(count) * len(examples) // count)
