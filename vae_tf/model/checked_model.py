"""A guarded model that checks the data it is trained and evaluated on."""

from typing import Any

import keras
from keras import ops

from vae_tf.backend.value_range import ValueRange
from vae_tf.model.batch import Batch, unpack_batch, unpack_inputs
from vae_tf.model.checks import check_label_range, check_value_range, find_range
from vae_tf.model.guarded_model import GuardedModel
from vae_tf.model.likelihood import Likelihood


class CheckedModel(GuardedModel):
    """A guarded model of data with a likelihood, and of labels if it is conditional, which checks both.

    Shapes and types are checked while a step is traced, which costs nothing later. The values of arrays are checked
    before the first step. Those of a dataset are checked after each step of `fit` and `evaluate`, because reading a
    dataset in advance could change what it returns.

    Attributes:
        example_shape: Shape of one example, `(H, W, C)` or `(F,)`; `None` until the model is built.
    """

    example_shape: tuple[int, ...] | None = None
    likelihood: Likelihood

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_range = ValueRange()
        self.label_range = ValueRange()

    @property
    def num_classes(self) -> int | None:
        """Number of classes of a conditional model, otherwise `None`."""
        raise NotImplementedError

    def unpack_batch(self, data: Any) -> Batch:
        """Returns the elements of a batch that `fit` passes.

        Args:
            data: `x`, `(x,)` or `(x, target)`, where x is `[x, labels]` for a conditional model.

        Raises:
            ValueError: The batch has sample weights, or an array has the wrong shape or type.
            TypeError: The labels of a conditional model are missing, or an unconditional model received a list.
        """
        return unpack_batch(data, self.example_shape, conditional=self.num_classes is not None)

    def unpack_inputs(self, inputs: Any) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
        """Returns the data and the labels of `x`, or of `[x, labels]` for a conditional model; see `unpack_batch`."""
        return unpack_inputs(inputs, self.example_shape, conditional=self.num_classes is not None)

    def check_data(self, x: Any, y: Any = None) -> None:
        """Checks arrays before the first step; see `GuardedModel.check_data`."""
        if not _is_array(x):
            return
        if not self.built:
            self.build((None, *(x[0] if isinstance(x, list | tuple) else x).shape[1:]))
        batch = self.unpack_batch((x, y))
        check_value_range(*find_range(batch.target), self.likelihood)
        self._check_label_values(batch.labels)

    def check_latest_batch(self) -> None:
        """Checks the values of the latest batch, after its step; see `GuardedModel.check_latest_batch`."""
        check_value_range(*self.target_range.value, self.likelihood)
        if self.num_classes is not None:
            check_label_range(*self.label_range.value, self.num_classes)

    def record_ranges(self, batch: Batch) -> None:
        """Records the ranges of a batch's values, for `check_latest_batch`."""
        if self.likelihood.value_range is not None:
            self.target_range.record(batch.target)
        if batch.labels is not None:
            self.label_range.record(batch.labels)

    def train_step(self, data: Any) -> dict[str, keras.KerasTensor]:
        """Updates the weights on a batch, unless the update is non-finite; returns the running means."""
        self.record_ranges(self.unpack_batch(data))
        return super().train_step(data)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Like `keras.Model.train_on_batch`, but checks the data."""
        self.check_data(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Like `keras.Model.test_on_batch`, but checks the data."""
        self.check_data(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Like `keras.Model.predict`, but checks the data.

        Raises:
            InputError: An array has the wrong shape or type, or a label is out of range.
        """
        if _is_array(x):
            self._check_label_values(self.unpack_inputs(x)[1])
        return super().predict(x, *args, **kwargs)

    def export(self, filepath: Any, *args: Any, input_signature: Any = None, **kwargs: Any) -> None:
        """Like `keras.Model.export`; by default, the exported function takes what `predict` takes."""
        data = keras.InputSpec("float32", (None, *(self.example_shape or ())))
        inputs = data if self.num_classes is None else [data, keras.InputSpec("int64", (None,))]
        example = ops.zeros((1, *data.shape[1:])), ops.zeros((1,), "int64")
        self(example[0] if self.num_classes is None else list(example))  # Keras exports no model that was never called
        super().export(filepath, *args, input_signature=input_signature or [inputs], **kwargs)

    def _check_label_values(self, labels: Any) -> None:
        if self.num_classes is not None:
            check_label_range(*find_range(labels), self.num_classes)


def _is_array(x: Any) -> bool:
    """Returns whether `fit` takes data as an array, or as a list of arrays, and not as a dataset or a generator."""
    return hasattr(x[0] if isinstance(x, list | tuple) and x else x, "shape")
