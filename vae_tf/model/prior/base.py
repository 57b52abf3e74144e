"""What every prior offers."""

from typing import Any

import keras

from vae_tf.model.noise import Seed


class Prior(keras.layers.Layer):
    """A distribution over latents, trained with the model if it has weights.

    Args:
        latent_dim: Number of latent dimensions Z.
        **kwargs: As of `keras.layers.Layer`. Log-probabilities are float32 whatever the global dtype policy is.

    Raises:
        ValueError: `latent_dim` is below 1.
    """

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1. Received: latent_dim={latent_dim}")
        self.latent_dim = latent_dim

    def sample(self, n: int, seed: Seed, temperature: float = 1.0) -> keras.KerasTensor:
        """Returns `n` draws, float32 `(n, Z)`; a temperature below 1 keeps them near the centre, or the centres."""
        raise NotImplementedError

    def log_prob(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(z) in nats, `(...)`, for latents `(..., Z)`."""
        raise NotImplementedError

    def log_prob_per_dimension(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the log density of each latent alone, its marginal, in nats, `(..., Z)`, for latents `(..., Z)`."""
        raise NotImplementedError

    def initialize(self, latents: keras.KerasTensor) -> None:
        """Prepares the weights before the first step, if that needs data.

        Args:
            latents: Posterior means of training examples under the untrained encoder `(N, Z)`.
        """

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "latent_dim": self.latent_dim}
