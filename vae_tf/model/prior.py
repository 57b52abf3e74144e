"""Priors p(z) and the Kullback-Leibler divergence from a posterior to them."""

import math
from typing import Any

import keras
from keras import ops

from vae_tf.model.posterior import DiagonalNormal, Posterior, Seed


class Prior(keras.layers.Layer):
    """A distribution over latents.

    Args:
        latent_dim: Number of latent dimensions Z.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1. Received: latent_dim={latent_dim}")
        self.latent_dim = latent_dim

    def sample(self, n: int, seed: Seed) -> keras.KerasTensor:
        """Returns `n` draws, float32 `(n, Z)`."""
        raise NotImplementedError

    def log_prob(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(z) in nats, `(...)`, for latents `(..., Z)`."""
        raise NotImplementedError

    def kl(self, posterior: Posterior, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns KL(q(z | x) || p(z)) in nats, estimated from the draws.

        Args:
            posterior: The family that `params` belong to.
            params: Raw posterior parameters `(B, P)`.
            z: Draws from the posterior `(K, B, Z)`.

        Returns:
            float32 `(B,)`. The mean of log q(z | x) - log p(z) over the K draws: unbiased, may be negative.
        """
        return ops.mean(posterior.log_prob(params, z) - self.log_prob(z), axis=0)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable(package="vae_tf")
class StandardNormal(Prior):
    """N(0, I), with the closed-form divergence from a diagonal normal posterior.

    Args:
        latent_dim: Number of latent dimensions Z.
        **kwargs: As of `keras.layers.Layer`.
    """

    def sample(self, n: int, seed: Seed) -> keras.KerasTensor:
        """Returns `n` draws, float32 `(n, Z)`."""
        return keras.random.normal((n, self.latent_dim), dtype="float32", seed=seed)

    def log_prob(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(z) in nats, `(...)`, for latents `(..., Z)`."""
        return -0.5 * ops.sum(ops.square(z) + math.log(2 * math.pi), axis=-1)

    def kl(self, posterior: Posterior, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns KL(q(z | x) || p(z)) in nats `(B,)`: Kingma & Welling 2014, appendix B, where it applies."""
        if type(posterior) is not DiagonalNormal:  # a subclass may draw from something else
            return super().kl(posterior, params, z)
        mean, log_var = posterior.mean_and_log_var(params)
        return 0.5 * ops.sum(ops.square(mean) + ops.exp(log_var) - 1.0 - log_var, axis=-1)
