"""The diagonal normal posterior."""

import math

import keras
from keras import ops

from vae_tf.model.posterior.base import FactorizedPosterior


@keras.saving.register_keras_serializable(package="vae_tf")
class DiagonalNormal(FactorizedPosterior):
    """N(mean, diag(exp(log_var))) (Kingma & Welling 2014, eq. 9); the raw parameters are mean, then log_var."""

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

    def sample(self, params: keras.KerasTensor, noise: keras.KerasTensor) -> keras.KerasTensor:
        """Returns mean + exp(log_var / 2) * noise, `(K, B, Z)`, for raw parameters `(B, 2Z)`."""
        mean, log_var = self.mean_and_log_var(params)
        return mean + ops.exp(0.5 * log_var) * noise

    def log_prob_per_dimension(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log q(z_j | x) in nats, `(..., Z)`, for raw parameters `(..., 2Z)` and latents `(..., Z)`."""
        mean, log_var = self.mean_and_log_var(params)
        return -0.5 * (ops.square(z - mean) * ops.exp(-log_var) + log_var + math.log(2 * math.pi))

    def cdf(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the probability that latent j is at most z_j, `(..., Z)`, for raw parameters `(..., 2Z)`."""
        mean, log_var = self.mean_and_log_var(params)
        return 0.5 * (1.0 + ops.erf((z - mean) * ops.exp(-0.5 * log_var) / math.sqrt(2)))

    def quantile(self, params: keras.KerasTensor, probability: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the latents `(..., Z)` at which `cdf` is `probability`, in (0, 1)."""
        mean, log_var = self.mean_and_log_var(params)
        return mean + ops.exp(0.5 * log_var) * math.sqrt(2) * ops.erfinv(2.0 * probability - 1.0)
