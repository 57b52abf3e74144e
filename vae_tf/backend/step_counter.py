"""The count of a model's training steps."""

import keras
import numpy as np
from keras import ops


class StepCounter:
    """Counts attempted training steps, those whose update was skipped included.

    The count is no weight of the model: neither a skipped step nor a rollback touches it, and `get_weights` leaves it
    out. Make it within the scope of the model's distribution strategy.
    """

    def __init__(self) -> None:
        self.variable = keras.Variable(np.zeros((), np.int64), trainable=False, aggregation="only_first_replica")

    @property
    def value(self) -> keras.KerasTensor:
        """The number of steps so far, an int64 scalar."""
        return ops.convert_to_tensor(self.variable)

    def increment(self) -> None:
        """Counts one more step."""
        self.variable.assign(self.variable + 1)
