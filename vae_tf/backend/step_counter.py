"""Counts a model's training steps."""

import keras
import numpy as np
import tensorflow as tf


class StepCounter:
    """Counts attempted training steps, including those whose update was skipped.

    The count is not a weight of the model: skipped updates and rollbacks do not reset it, and `get_weights` does not
    return it. Create the counter within the scope of the model's distribution strategy.
    """

    def __init__(self) -> None:
        self.variable = keras.Variable(np.zeros((), np.int64), trainable=False, aggregation="only_first_replica")

    @property
    def value(self) -> tf.Tensor:
        """The number of steps so far, an int64 scalar."""
        return tf.identity(self.variable.value)  # a copy: Keras would return the variable, whose value changes later

    def reset(self) -> None:
        """Starts counting from 0."""
        self.variable.assign(0)

    def increment(self) -> None:
        """Counts one more step."""
        self.variable.assign(self.variable + 1)
