"""Keras's Adam optimizer with one fused kernel per variable."""

from typing import Any

import keras
from keras import ops

from vae_tf.backend import kernels


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns the optimizer that applies the updates: the inner one of a loss-scaling optimizer, otherwise itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


@keras.saving.register_keras_serializable(package="vae_tf")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` (Kingma & Ba 2015) with one fused kernel per variable instead of a dozen operations.

    Args:
        *args: Passed to `keras.optimizers.Adam`.
        **kwargs: Passed to `keras.optimizers.Adam`. The fused kernel does not support `amsgrad`.

    Raises:
        ValueError: `amsgrad` is true.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("amsgrad is not supported. Received: amsgrad=True; use keras.optimizers.Adam")

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Updates the variables; see `keras.optimizers.Optimizer.apply`."""
        step = ops.cast(self.iterations + 1, "float32")
        self._bias_correction = ops.sqrt(1 - ops.power(self.beta_2, step)) / (1 - ops.power(self.beta_1, step))
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable and its two moving averages."""
        # Keras has no public names for the moving averages; its own optimizers use these in `update_step`.
        index = self._get_variable_index(variable)
        kernels.apply_adam(
            variable,
            self._momentums[index].value,
            self._velocities[index].value,
            gradient,
            ops.cast(learning_rate, "float32") * self._bias_correction,
            self.beta_1,
            self.beta_2,
            self.epsilon,
        )
