"""Gaussian likelihoods, with a fixed or a learned standard deviation."""

import math
from typing import Any

import keras
from keras import ops

from vae_tf.model.likelihood.base import Likelihood
from vae_tf.model.noise import Seed

LOG_SQRT_2_PI = 0.5 * math.log(2 * math.pi)
MIN_LOG_SIGMA = -6.0


@keras.saving.register_keras_serializable(package="vae_tf")
class Gaussian(Likelihood):
    """Independent, normally distributed pixels with a single fixed standard deviation; raw parameters are means.

    With `sigma = sqrt(1/2)`, the negative log-likelihood is the commonly used summed squared error, up to a constant;
    with `sigma = 1`, it is half the squared error. Means are unbounded and can lie outside [0, 1].

    Args:
        sigma: Standard deviation in data units, greater than 0.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    support = "continuous"

    def __init__(self, sigma: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be a finite number greater than 0. Received: sigma={sigma}")
        self.sigma = sigma

    def params_size(self, channels: int) -> int:
        """Returns `channels`."""
        return channels

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        return -0.5 * ops.square((x - params) / self.sigma) - math.log(self.sigma) - LOG_SQRT_2_PI

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the raw parameters, which are the means."""
        return params

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns means + sigma * noise, float32, in the shape of the means."""
        noise = keras.random.normal(ops.shape(params), dtype="float32", seed=seed)
        return ops.cast(params, "float32") + self.sigma * noise

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "sigma": self.sigma}


@keras.saving.register_keras_serializable(package="vae_tf")
class LearnedGaussian(Likelihood):
    """Independent, normally distributed pixels with a single learned standard deviation; raw parameters are means.

    The model learns how noisy the data is, so neither sigma nor beta needs tuning (sigma-VAE, Rybkin et al.
    2021). A soft bound keeps sigma above e^-6, which is less than an 8-bit step. The initial value matters: with a
    large one, the model can get stuck in a solution that treats all of the data as noise and ignores the latents.

    Args:
        sigma: Initial standard deviation in data units, greater than e^-6.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    support = "continuous"

    def __init__(self, sigma: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        min_sigma = math.exp(MIN_LOG_SIGMA)
        if not min_sigma < sigma < math.inf:
            raise ValueError(f"sigma must be a finite number greater than {min_sigma:.4f}. Received: sigma={sigma}")
        self.sigma = sigma

    def build(self, input_shape: Any = None) -> None:
        """Creates the weight of the standard deviation."""
        # The inverse of the softplus in `log_sigma`.
        initial_value = math.log(math.expm1(math.log(self.sigma) - MIN_LOG_SIGMA))
        initializer = keras.initializers.Constant(initial_value)
        self.raw_log_sigma = self.add_weight(shape=(), initializer=initializer, dtype="float32", name="raw_log_sigma")
        self.built = True

    @property
    def log_sigma(self) -> keras.KerasTensor:
        """Logarithm of the standard deviation, a scalar."""
        return MIN_LOG_SIGMA + ops.softplus(self.raw_log_sigma)

    def params_size(self, channels: int) -> int:
        """Returns `channels`."""
        return channels

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        log_sigma = self.log_sigma
        return -0.5 * ops.square((x - params) * ops.exp(-log_sigma)) - log_sigma - LOG_SQRT_2_PI

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the raw parameters, which are the means."""
        return params

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns means + sigma * noise, float32, in the shape of the means."""
        noise = keras.random.normal(ops.shape(params), dtype="float32", seed=seed)
        return ops.cast(params, "float32") + ops.exp(self.log_sigma) * noise

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "sigma": self.sigma}
