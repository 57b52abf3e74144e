"""A number that can be changed between the steps of a compiled function."""

import keras
import tensorflow as tf


class Setting:
    """A number that compiled steps read each time they run; as a Python number it would be compiled into them.

    It is not a weight of the model: `get_weights` does not return it, and it is not among the weights that are saved.
    Create it within the scope of the model's distribution strategy.

    Args:
        value: The initial value.
    """

    def __init__(self, value: float) -> None:
        self._variable = keras.Variable(value, dtype="float32", trainable=False, aggregation="only_first_replica")
        self._value = value

    @property
    def value(self) -> float:
        """The number, at its full precision; setting it takes effect at the next step."""
        return self._value

    @value.setter
    def value(self, value: float) -> None:
        self._variable.assign(value)
        self._value = value

    @property
    def tensor(self) -> tf.Tensor:
        """The number as a float32 scalar, for use in a step."""
        return tf.identity(self._variable.value)
