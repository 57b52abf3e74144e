"""The interface of posteriors."""

import keras
from keras import ops


class Posterior(keras.layers.Layer):
    """A family of distributions over latents; the raw parameters of an example specify one of them."""

    def params_size(self, latent_dim: int) -> int:
        """Returns the number of raw parameters for `latent_dim` latents."""
        raise NotImplementedError

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the mean `(..., Z)` for raw parameters `(..., P)`."""
        raise NotImplementedError

    def sample(self, params: keras.KerasTensor, noise: keras.KerasTensor) -> keras.KerasTensor:
        """Returns reparameterized samples `(K, B, Z)` for raw parameters `(B, P)` and noise N(0, 1) `(K, B, Z)`."""
        raise NotImplementedError

    def log_prob(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log q(z | x) in nats, `(...)`, for raw parameters `(..., P)` and latents `(..., Z)`."""
        raise NotImplementedError

    def stop_gradient(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the raw parameters with their gradient stopped."""
        return ops.stop_gradient(params)


class FactorizedPosterior(Posterior):
    """A posterior whose latent dimensions are independent of each other."""

    def log_prob_per_dimension(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log q(z_j | x) in nats, `(..., Z)`, for raw parameters `(..., P)` and latents `(..., Z)`."""
        raise NotImplementedError

    def log_prob(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log q(z | x) in nats, `(...)`, for raw parameters `(..., P)` and latents `(..., Z)`."""
        return ops.sum(self.log_prob_per_dimension(params, z), axis=-1)

    def cdf(self, params: keras.KerasTensor, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the probability that latent j is at most z_j, `(..., Z)`, for raw parameters `(..., P)`."""
        raise NotImplementedError

    def quantile(self, params: keras.KerasTensor, probability: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the latents `(..., Z)` at which `cdf` is `probability`, in (0, 1)."""
        raise NotImplementedError
