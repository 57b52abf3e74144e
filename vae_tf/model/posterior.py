"""Approximate posteriors q(z | x): what the encoder's numbers mean."""

import math
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import ops

from vae_tf.backend import replicas
from vae_tf.backend.kernels import normal_per_example


class Noise(NamedTuple):
    """Noise N(0, 1) that is drawn already, in place of a seed.

    Attributes:
        values: float32 `(K, B, Z)`.
    """

    values: keras.KerasTensor


# A number, a generator, one seed per example: int32 (B, 2), or the noise itself.
Seed: TypeAlias = int | keras.random.SeedGenerator | keras.KerasTensor | Noise


def standard_normal(shape: Any, seed: Seed) -> keras.KerasTensor:
    """Returns float32 noise N(0, 1).

    Args:
        shape: `(K, B, Z)`; with a single seed any shape.
        seed: One seed per example, int32 `(B, 2)`, makes the noise of an example independent of the batch it is
            in; `Noise` is returned as it is; else as of `keras.random.normal`.
    """
    if isinstance(seed, Noise):
        return seed.values
    if isinstance(seed, int | keras.random.SeedGenerator):
        return replicas.standard_normal(shape, seed)
    return normal_per_example(shape, seed)


class Posterior(keras.layers.Layer):
    """A family of distributions over latents, one member per example, given by raw parameters."""

    def params_size(self, latent_dim: int) -> int:
        """Returns how many raw parameters `latent_dim` latents need."""
        raise NotImplementedError

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the mean `(..., Z)` for raw parameters `(..., P)`."""
        raise NotImplementedError

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns one reparameterized draw `(..., Z)` for each row of raw parameters `(..., P)`."""
        raise NotImplementedError

    def log_prob(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log q(z | x) in nats, `(...)`, for raw parameters `(..., P)` and latents `(..., Z)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="vae_tf")
class DiagonalNormal(Posterior):
    """N(mean, diag(exp(log_var))) of Kingma & Welling 2014, eq. 9; raw parameters are mean, then log_var."""

    def params_size(self, latent_dim: int) -> int:
        """Returns `2 * latent_dim`."""
        return 2 * latent_dim

    def mean_and_log_var(self, params: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Returns the mean and the logarithm of the variance, `(..., Z)` each, for parameters `(..., 2Z)`."""
        mean, log_var = ops.split(params, 2, axis=-1)
        return mean, log_var

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the mean `(..., Z)` for raw parameters `(..., 2Z)`."""
        return self.mean_and_log_var(params)[0]

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns mean + exp(log_var / 2) * noise, `(..., Z)`, for raw parameters `(..., 2Z)`."""
        mean, log_var = self.mean_and_log_var(params)
        noise = standard_normal(ops.shape(mean), seed)
        return mean + ops.exp(0.5 * log_var) * noise

    def log_prob(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log q(z | x) in nats, `(...)`, for raw parameters `(..., 2Z)` and latents `(..., Z)`."""
        mean, log_var = self.mean_and_log_var(params)
        return -0.5 * ops.sum(ops.square(z - mean) * ops.exp(-log_var) + log_var + math.log(2 * math.pi), axis=-1)
