"""The interface of priors."""

from typing import Any

import keras

from vae_tf.model.noise import Seed


class Prior(keras.layers.Layer):
    """A distribution over latents; if it has weights, they are trained with the model.

    Args:
        latent_dim: Number of latent dimensions Z.
        **kwargs: Passed to `keras.layers.Layer`. Log-probabilities are float32 regardless of the global dtype policy.

    Raises:
        ValueError: `latent_dim` is below 1.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1. Received: latent_dim={latent_dim}")
        self.latent_dim = latent_dim

    def sample(self, n: int, seed: Seed, temperature: float = 1.0) -> keras.KerasTensor:
        """Returns `n` samples, float32 `(n, Z)`; a temperature below 1 keeps them closer to the prior's mean(s)."""
        raise NotImplementedError

    def log_prob(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(z) in nats, `(...)`, for latents `(..., Z)`."""
        raise NotImplementedError

    def log_prob_per_dimension(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the marginal log density of each latent in nats, `(..., Z)`, for latents `(..., Z)`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "latent_dim": self.latent_dim}
