"""Likelihoods with one logit per value: for binary pixels, and for continuous values in [0, 1]."""

import math

import keras
from keras import ops

from vae_tf.model.likelihood.base import Likelihood
from vae_tf.model.noise import Seed

MAX_GROUP_SIZE = 16
SMALL_LOGIT = 0.05
MAX_LOGIT = 510.0  # at this logit, the mean of a continuous Bernoulli is half an 8-bit step below 1
NUM_BISECTIONS = 30


@keras.saving.register_keras_serializable(package="vae_tf")
class Bernoulli(Likelihood):
    """Independent binary pixels; raw parameters are logits.

    For pixel intensities in [0, 1], the same formula is the summed binary cross-entropy of the original notebooks: a
    usable training loss, but not the log-likelihood of a greyscale image.
    """

    support = "binary"
    value_range = (0.0, 1.0)

    def params_size(self, channels: int) -> int:
        """Returns `channels`."""
        return channels

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        return x * params - ops.softplus(params)

    def log_prob_for_evaluation(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `log_prob`, computed with one logarithm per group of pixels instead of one per pixel.

        softplus(l) = max(l, 0) - log sigmoid(|l|), and the logarithms in a group add up to the logarithm of the
        product. The factors are in [1/2, 1], so a product of 16 factors is exact up to rounding.
        """
        size = math.prod(x.shape[1:])
        group_size = max(n for n in range(1, MAX_GROUP_SIZE + 1) if size % n == 0)
        rows = ops.reshape(ops.cast(params, "float32"), (*ops.shape(params)[: 1 - len(x.shape)], size))
        linear, product = 0.0, 1.0
        for logits, values in zip(
            ops.split(rows, group_size, axis=-1),
            ops.split(ops.reshape(ops.cast(x, "float32"), (-1, size)), group_size, axis=-1),
            strict=True,
        ):
            linear += values * logits - ops.relu(logits)
            product *= ops.sigmoid(ops.abs(logits))
        return ops.sum(linear + ops.log(product), axis=-1)

    def max_log_prob(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the sum of x log x + (1 - x) log(1 - x), float32 `(B,)`: 0 for binary data."""
        x = ops.cast(x, "float32")
        return ops.sum(_x_log_x(x) + _x_log_x(1 - x), axis=tuple(range(1, len(x.shape))))

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the probabilities that pixels are 1, in [0, 1], for logits of any shape."""
        return ops.sigmoid(params)

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns samples of 0 and 1, float32, in the shape of the logits."""
        uniform = keras.random.uniform(ops.shape(params), dtype="float32", seed=seed)
        return ops.cast(uniform < ops.sigmoid(params), "float32")


def _x_log_x(x: keras.KerasTensor) -> keras.KerasTensor:
    return x * ops.log(ops.where(x > 0, x, 1.0))


@keras.saving.register_keras_serializable(package="vae_tf")
class ContinuousBernoulli(Likelihood):
    """Independent pixels in [0, 1] with density proportional to exp(logit * x); raw parameters are logits.

    It adds the normalizing constant that makes the Bernoulli formula a density over pixel intensities (Loaiza-Ganem &
    Cunningham 2019).
    """

    support = "continuous"
    value_range = (0.0, 1.0)

    def params_size(self, channels: int) -> int:
        """Returns `channels`."""
        return channels

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        # The integral of exp(l x) over [0, 1] is (e^l - 1) / l = e^(l/2) * 2 sinh(l/2) / l.
        magnitude = ops.abs(params)
        is_small = magnitude < SMALL_LOGIT
        safe = ops.where(is_small, 1.0, magnitude)
        log_sinh_ratio = 0.5 * safe + ops.log1p(-ops.exp(-safe)) - ops.log(safe)
        series = ops.square(magnitude) / 24 - ops.square(ops.square(magnitude)) / 2880
        return (x - 0.5) * params - ops.where(is_small, series, log_sinh_ratio)

    def max_log_prob(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns log p(x) under the logits whose mean is x, float32 `(B,)`.

        At x = 0 and x = 1 the density is unbounded, so the logits are limited to values at which the mean is half an
        8-bit step from 0 or 1.
        """
        low, high = -MAX_LOGIT * ops.ones_like(x), MAX_LOGIT * ops.ones_like(x)
        for _ in range(NUM_BISECTIONS):
            logits = 0.5 * (low + high)
            is_low = self.mean(logits) < x
            low, high = ops.where(is_low, logits, low), ops.where(is_low, high, logits)
        return self.log_prob(logits, x)

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns 1 / (1 - e^-logit) - 1 / logit, in [0, 1], for logits of any shape."""
        is_small = ops.abs(params) < SMALL_LOGIT
        safe = ops.where(is_small, 1.0, params)
        return ops.where(is_small, 0.5 + params / 12, 0.5 / ops.tanh(0.5 * safe) + 0.5 - 1 / safe)

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns one sample in [0, 1] per logit, float32, by inverting the cumulative distribution function."""
        params = ops.cast(params, "float32")
        uniform = keras.random.uniform(ops.shape(params), dtype="float32", seed=seed)
        # For a positive logit: 1 + log(u + (1 - u) e^-l) / l. Samples for a negative logit are 1 minus that.
        magnitude = ops.maximum(ops.abs(params), SMALL_LOGIT)
        sample = 1 + ops.log(uniform + (1 - uniform) * ops.exp(-magnitude)) / magnitude
        sample = ops.where(ops.abs(params) < SMALL_LOGIT, uniform, sample)
        return ops.clip(ops.where(params < 0, 1 - sample, sample), 0, 1)
