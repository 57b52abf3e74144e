"""The standard normal prior."""

import math

import keras
from keras import ops

from vae_tf.model.noise import Seed
from vae_tf.model.prior.base import Prior


@keras.saving.register_keras_serializable(package="vae_tf")
class StandardNormal(Prior):
    """The standard normal distribution N(0, I).

    Args:
        latent_dim: Number of latent dimensions Z.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    def sample(self, n: int, seed: Seed, temperature: float = 1.0) -> keras.KerasTensor:
        """Returns `n` samples multiplied by the temperature, float32 `(n, Z)`."""
        return temperature * keras.random.normal((n, self.latent_dim), dtype="float32", seed=seed)

    def log_prob(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(z) in nats, `(...)`, for latents `(..., Z)`."""
        return -0.5 * ops.sum(ops.square(z) + math.log(2 * math.pi), axis=-1)

    def log_prob_per_dimension(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(z_j) in nats, `(..., Z)`, for latents `(..., Z)`."""
        return -0.5 * (ops.square(z) + math.log(2 * math.pi))
