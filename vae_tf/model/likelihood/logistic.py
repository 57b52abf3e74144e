"""A likelihood for 8-bit pixels, whose bits per dimension can be compared with the literature."""

from typing import Any

import keras
from keras import ops

from vae_tf.model.likelihood.base import Likelihood
from vae_tf.model.noise import Seed

MAX_LEVEL = 255
MIN_LOG_SCALE = -7.0


@keras.saving.register_keras_serializable(package="vae_tf")
class DiscretizedLogisticMixture(Likelihood):
    """8-bit pixels from a mixture of discretized logistic distributions (Salimans et al. 2017, section 2.1).

    Each pixel has one component for all of its channels, which are independent given the component. Values are k / 255,
    k = 0..255; other data is rounded to the nearest of these values. The raw parameters of a component are one logit
    and, for each channel, a mean on the scale [-1, 1] and a log-scale.

    Args:
        num_components: Number of mixture components, at least 1.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    support = "8-bit"
    value_range = (0.0, 1.0)

    def __init__(self, num_components: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_components < 1:
            raise ValueError(f"num_components must be at least 1. Received: num_components={num_components}")
        self.num_components = num_components

    def params_size(self, channels: int) -> int:
        """Returns `num_components * (1 + 2 * channels)`."""
        return self.num_components * (1 + 2 * channels)

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        logits, means, log_scales = self._split(params)
        levels = ops.expand_dims(ops.round(x * MAX_LEVEL), -2)  # (B, H, W, 1, C)
        centred, inverse_scale = levels * (2 / MAX_LEVEL) - 1 - means, ops.exp(-log_scales)
        upper, lower = inverse_scale * (centred + 1 / MAX_LEVEL), inverse_scale * (centred - 1 / MAX_LEVEL)
        # A standard logistic u lies between lower and upper with probability
        # (1 - e^(lower - upper)) * sigmoid(upper) * sigmoid(-lower); the outermost levels include the tails.
        inside = ops.log(-ops.expm1(-2 / MAX_LEVEL * inverse_scale)) + ops.log_sigmoid(upper) + ops.log_sigmoid(-lower)
        log_probs = ops.where(
            levels < 0.5, ops.log_sigmoid(upper), ops.where(levels > MAX_LEVEL - 0.5, ops.log_sigmoid(-lower), inside)
        )
        component_log_probs = ops.log_softmax(logits, axis=-1) + ops.sum(log_probs, axis=-1)
        return ops.logsumexp(component_log_probs, axis=-1, keepdims=True)

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the average of the components' means, each clipped to [0, 1], weighted by their probabilities."""
        logits, means, _ = self._split(ops.cast(params, "float32"))
        weights = ops.expand_dims(ops.softmax(logits, axis=-1), -1)
        return ops.sum(weights * ops.clip(0.5 * (means + 1), 0, 1), axis=-2)

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns one sample of 8-bit values k / 255 per pixel, float32 `(..., H, W, C)`."""
        logits, means, log_scales = self._split(ops.cast(params, "float32"))
        generator = seed if isinstance(seed, keras.random.SeedGenerator) else keras.random.SeedGenerator(seed)
        gumbel = -ops.log(-ops.log(_draw_uniform(ops.shape(logits), generator)))
        component = ops.one_hot(ops.argmax(logits + gumbel, axis=-1), self.num_components, dtype="float32")
        means, log_scales = (ops.sum(ops.expand_dims(component, -1) * p, axis=-2) for p in (means, log_scales))
        uniform = _draw_uniform(ops.shape(means), generator)
        sample = means + ops.exp(log_scales) * (ops.log(uniform) - ops.log1p(-uniform))
        return ops.clip(ops.round((sample + 1) * (MAX_LEVEL / 2)), 0, MAX_LEVEL) / MAX_LEVEL

    def _split(self, params: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        """Returns logits `(..., M)`, and means and log-scales `(..., M, C)` each, of M components."""
        size = params.shape[-1] // self.num_components
        params = ops.reshape(params, (*ops.shape(params)[:-1], self.num_components, size))
        channels = (size - 1) // 2
        # The initial means are spread out; otherwise all components would learn the same distribution.
        offsets = ops.reshape(ops.linspace(-1.0, 1.0, self.num_components + 2)[1:-1], (self.num_components, 1))
        means = params[..., 1 : 1 + channels] + ops.cast(offsets, "float32")
        return params[..., 0], means, ops.maximum(params[..., 1 + channels :] - 2, MIN_LOG_SCALE)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_components": self.num_components}


def _draw_uniform(shape: Any, generator: keras.random.SeedGenerator) -> keras.KerasTensor:
    return keras.random.uniform(shape, minval=1e-6, maxval=1 - 1e-6, dtype="float32", seed=generator)
