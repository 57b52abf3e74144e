"""A learned mixture of diagonal Gaussians as the prior."""

import math
from typing import Any

import keras
from keras import ops

from vae_tf.model.noise import Seed
from vae_tf.model.prior.base import Prior

INITIAL_MEAN_STDDEV = 1.0


@keras.saving.register_keras_serializable(package="vae_tf")
class GaussianMixturePrior(Prior):
    """sum_c w_c N(mean_c, diag(sigma_c^2)), with weights, means and standard deviations trained with the model.

    The means are initialized from N(0, I), so that no two components are the same. The KL divergence to the mixture has
    no closed form and is estimated from the posterior samples. Source: the mixture of Gaussians that Tomczak & Welling
    (2018, section 3.2) compare with the VampPrior.

    Args:
        latent_dim: Number of latent dimensions Z.
        components: Number of components, at least 1.
        **kwargs: Passed to `Prior`.

    Raises:
        ValueError: `components` is below 1.

    Example:
        >>> vae = vae_tf.build_vae((28, 28, 1), latent_dim=8, arch="dense", prior="mixture", prior_components=20)
    """

    def __init__(self, latent_dim: int, components: int = 10, **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        if components < 1:
            raise ValueError(f"components must be at least 1. Received: components={components}")
        self.components = components

    def build(self, input_shape: Any = None) -> None:
        """Creates the logits of the mixture weights, the means and the standard deviations."""
        shape = (self.components, self.latent_dim)
        self.logits = self.add_weight(shape=(self.components,), initializer="zeros", name="logits")
        mean_initializer = keras.initializers.RandomNormal(stddev=INITIAL_MEAN_STDDEV)
        self.means = self.add_weight(shape=shape, initializer=mean_initializer, name="means")
        self.log_sigmas = self.add_weight(shape=shape, initializer="zeros", name="log_sigmas")
        self.built = True

    def sample(self, n: int, seed: Seed, temperature: float = 1.0) -> keras.KerasTensor:
        """Returns `n` samples, float32 `(n, Z)`; the temperature scales the deviations from the components' means."""
        # With an integer seed, both draws would use the same random numbers, so a generator is needed.
        generator = keras.random.SeedGenerator(seed) if isinstance(seed, int) else seed
        component = keras.random.categorical(self.logits[None], n, seed=generator)[0]
        noise = keras.random.normal((n, self.latent_dim), dtype="float32", seed=generator)
        means, log_sigmas = ops.take(self.means, component, axis=0), ops.take(self.log_sigmas, component, axis=0)
        return means + temperature * ops.exp(log_sigmas) * noise

    def log_prob(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(z) in nats, `(...)`, for latents `(..., Z)`."""
        log_components = ops.sum(self._log_prob_per_component(z), axis=-1)
        return ops.logsumexp(ops.log_softmax(self.logits) + log_components, axis=-1)

    def log_prob_per_dimension(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the marginal log density of each latent in nats, `(..., Z)`, for latents `(..., Z)`."""
        log_weights = ops.log_softmax(self.logits)[:, None]
        return ops.logsumexp(log_weights + self._log_prob_per_component(z), axis=-2)

    def _log_prob_per_component(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log N(z_j; mean_cj, sigma_cj), `(..., components, Z)`, for latents `(..., Z)`."""
        scaled = (z[..., None, :] - self.means) * ops.exp(-self.log_sigmas)
        return -0.5 * (ops.square(scaled) + math.log(2 * math.pi)) - self.log_sigmas

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "components": self.components}
