"""The interface of likelihoods."""

from typing import Literal

import keras
from keras import ops

from vae_tf.model.noise import Seed


class Likelihood(keras.layers.Layer):
    """A family of distributions over data; the raw parameters of an example specify one distribution of the family.

    Attributes:
        support: The kind of values that the distribution models: `"binary"` (0 or 1), `"8-bit"` (the 256 values of an
            8-bit pixel) or `"continuous"` (the distribution has a density).
        value_range: The lowest and the highest value that the distribution models; `None` if it is unbounded.
    """

    support: Literal["binary", "8-bit", "continuous"]
    value_range: tuple[float, float] | None = None

    def params_size(self, channels: int) -> int:
        """Returns the number of channels of the raw parameters for data with `channels` channels."""
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

    def log_prob_for_evaluation(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        """Same as `log_prob`, but optimized for evaluation without gradients under XLA."""
        return self.log_prob(params, x)

    def max_log_prob(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the highest log p(x | z) that any decoder could reach for x, up to a constant.

        Args:
            x: Data `(B, H, W, C)`.

        Returns:
            float32 `(B,)` in nats; zeros if that maximum is the same for every x.
        """
        return ops.zeros(ops.shape(x)[:1])

    def _log_prob_per_value(self, params: keras.KerasTensor, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns terms `(..., B, H, W, C or 1)` that add up to the log-probability, for float32 arguments."""
        raise NotImplementedError

    def mean(self, params: keras.KerasTensor) -> keras.KerasTensor:
        """Returns E[x | z] in data units, `(..., H, W, C)`, for raw parameters `(..., H, W, P)`."""
        raise NotImplementedError

    def sample(self, params: keras.KerasTensor, seed: Seed) -> keras.KerasTensor:
        """Returns one sample `(..., H, W, C)` for each set of raw parameters `(..., H, W, P)`."""
        raise NotImplementedError
