"""The range of the values in a batch."""

import keras
import numpy as np
from keras import ops


class ValueRange:
    """The lowest and the highest value of the latest batch, which a compiled step can record.

    Like the count of steps, it is not a weight of the model. A compiled step can't raise an error about values: under
    XLA, TensorFlow drops its assertions. Create the range within the scope of the model's distribution strategy.
    """

    def __init__(self) -> None:
        self._variable = keras.Variable(np.zeros(2, np.float32), trainable=False, aggregation="only_first_replica")

    def record(self, values: keras.KerasTensor) -> None:
        """Records the range of a batch of values."""
        values = ops.cast(values, "float32")
        self._variable.assign(ops.stack([ops.min(values), ops.max(values)]))

    @property
    def value(self) -> tuple[float, float]:
        """The lowest and the highest value of the latest batch; 0 and 0 before the first one."""
        low, high = ops.convert_to_numpy(self._variable).tolist()
        return low, high
