"""Likelihoods p(x | z): what the decoder's numbers mean.

Shapes: an example is `(H, W, C)` for pictures; `log_prob` sums over all its axes, in nats.
"""

import math
from typing import Any

import keras
from keras import ops

from vae_tf.model.posterior import Seed

LARGEST_GROUP = 16


class Likelihood(keras.layers.Layer):
    """A family of distributions over data, one member per example, given by raw parameters."""

    def params_size(self, channels: int) -> int:
        """Returns how many channels of raw parameters data of `channels` channels needs."""
        raise NotImplementedError

    def log_prob(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(x | z) in nats.

        Args:
            params: Raw parameters `(..., B, H, W, P)`; the leading axes broadcast.
            x: Data `(B, H, W, C)`.

        Returns:
            float32 `(..., B)`, summed over pixels and channels.
        """
        event_axes = tuple(range(1 - len(x.shape), 0))
        params, x = ops.cast(params, "float32"), ops.cast(x, "float32")
        return ops.sum(self._log_prob_per_value(params, x), axis=event_axes)

    def log_prob_of_draws(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `log_prob` in the form that is quickest to evaluate, not to differentiate, compiled by XLA."""
        return self.log_prob(params, x)

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        raise NotImplementedError

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns E[x | z] in data units, `(..., H, W, C)`, for raw parameters `(..., H, W, P)`."""
        raise NotImplementedError

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns one draw `(..., H, W, C)` for each row of raw parameters `(..., H, W, P)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="vae_tf")
class Bernoulli(Likelihood):
    """Independent 0/1 pixels; raw parameters are logits.

    On grey values in [0, 1] the same formula is the summed binary cross-entropy of the original notebooks:
    a bound to train with, not the logarithm of a density over grey pictures.
    """

    def params_size(self, channels: int) -> int:
        """Returns `channels`."""
        return channels

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        return x * params - ops.softplus(params)

    def log_prob_of_draws(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `log_prob` with one logarithm for a group of pixels instead of one for each.

        softplus(l) = max(l, 0) - log sigmoid(|l|), and the logarithms of a group add up to that of the product. The
        factors lie in [1/2, 1], so that a product of 16 is exact to rounding.
        """
        size = math.prod(x.shape[1:])
        groups = max(n for n in range(1, LARGEST_GROUP + 1) if size % n == 0)
        rows = ops.reshape(ops.cast(params, "float32"), (*ops.shape(params)[: 1 - len(x.shape)], size))
        linear, product = 0.0, 1.0
        for logits, values in zip(
            ops.split(rows, groups, axis=-1),
            ops.split(ops.reshape(ops.cast(x, "float32"), (-1, size)), groups, axis=-1),
            strict=True,
        ):
            linear += values * logits - ops.relu(logits)
            product *= ops.sigmoid(ops.abs(logits))
        return ops.sum(linear + ops.log(product), axis=-1)

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the probabilities of 1, in [0, 1], for logits of any shape."""
        return ops.sigmoid(params)

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns float32 zeros and ones in the shape of the logits."""
        uniform = keras.random.uniform(ops.shape(params), dtype="float32", seed=seed)
        return ops.cast(uniform < ops.sigmoid(params), "float32")


@keras.saving.register_keras_serializable(package="vae_tf")
class Gaussian(Likelihood):
    """Independent normal pixels with one fixed standard deviation; raw parameters are means.

    With `sigma = sqrt(1/2)` the negative log-likelihood is the plain squared error of many notebooks, up to
    a constant; with `sigma = 1`, half of it. Means are not bounded: they can leave [0, 1].

    Args:
        sigma: Standard deviation in data units, greater than 0.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, sigma: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be a finite number greater than 0. Received: sigma={sigma}")
        self.sigma = sigma

    def params_size(self, channels: int) -> int:
        """Returns `channels`."""
        return channels

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        log_normalizer = math.log(self.sigma) + 0.5 * math.log(2 * math.pi)
        return -0.5 * ops.square((x - params) / self.sigma) - log_normalizer

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the means as they are."""
        return params

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns means + sigma * noise, float32, in the shape of the means."""
        noise = keras.random.normal(ops.shape(params), dtype="float32", seed=seed)
        return ops.cast(params, "float32") + self.sigma * noise

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "sigma": self.sigma}
