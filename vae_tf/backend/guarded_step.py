"""A training step that leaves the model as it was where the update would not be finite."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vae_tf.backend import replicas

MOST_IN_A_ROW = 10


class Skipped(NamedTuple):
    """The updates that were skipped.

    Attributes:
        total: How many, since the beginning of the run.
        in_a_row: How many of them were the latest steps; 0 if the latest step made an update.
        rollbacks: How often training went back because of them.
        losses: Of the latest of them, the mean of its batch by the name of the metric.
        gradient_norm: Of the latest of them, the norm of the gradients of all weights together.
    """

    total: int
    in_a_row: int
    rollbacks: int
    losses: dict[str, float]
    gradient_norm: float


class GuardedStep:
    """A training step that skips the update if a loss, a gradient or an average of a batch is infinite or not a number.

    Weights, batch normalization's averages, the optimizer, averaged weights and metrics are then as they were before
    the step; only its noise is spent. The overflow of a scaled loss is not such a case: its optimizer handles it.

    Args:
        model: A compiled model with a method `gradients(data)`, whose metrics are means over examples.
        most_in_a_row: After so many skipped steps in a row `may_continue` is false.
    """

    def __init__(self, model: keras.Model, most_in_a_row: int = MOST_IN_A_ROW) -> None:
        self.most_in_a_row = most_in_a_row
        self._model = model
        self._names = [metric.name for metric in model.metrics[1:]]  # the first is the loss, which the others make up
        with tf.init_scope(), model.distribute_strategy.scope():
            if not model.optimizer.built:  # else the scale of the loss would be a constant of the step
                model.optimizer.build(model.trainable_weights)
            self._counts = _variable(np.zeros(3, np.int32))
            self._measured = _variable(np.zeros(len(self._names) + 1, np.float32))

    @property
    def variables(self) -> list[keras.Variable]:
        """The counts, and what was measured at the latest skipped step."""
        return [self._counts, self._measured]

    @property
    def skipped(self) -> Skipped:
        """The updates that were skipped so far."""
        *losses, gradient_norm = ops.convert_to_numpy(self._measured).tolist()
        by_name = dict(zip(self._names, losses, strict=True))
        total, in_a_row, rollbacks = ops.convert_to_numpy(self._counts).tolist()
        return Skipped(total, in_a_row, rollbacks, by_name, gradient_norm)

    def may_continue(self) -> tf.Tensor:
        """Returns whether there may be another step, a bool scalar."""
        return self._counts.value[1] < self.most_in_a_row

    def count_rollback(self) -> None:
        """Counts a rollback, and forgives the skipped steps before it."""
        self._counts.assign([self.skipped.total, 0, self.skipped.rollbacks + 1])

    def __call__(self, data: Any) -> None:
        """Makes one update of the weights on a batch, or none."""
        model = self._model
        before = [tf.identity(variable.value) for variable in self._changed_forward()]
        sums = self._sums()
        gradients = model.gradients(data)
        gradient_norm = tf.linalg.global_norm(gradients) / ops.cast(self._loss_scale(), "float32")
        pairs = zip(self._sums(), sums, strict=True)
        *losses, count = replicas.total([after - sum_before for after, sum_before in pairs])
        measured = tf.stack([*(loss / count for loss in losses[1:]), gradient_norm])
        # Averages too: what is normalized by an infinite variance is 0, and its loss finite.
        averages = [tf.reduce_sum(weight.value) for weight in model.non_trainable_weights]
        is_finite = tf.reduce_all(tf.math.is_finite([*losses, *averages]))
        is_sound = is_finite & (tf.math.is_finite(gradient_norm) | (self._loss_scale() > 1.0))
        replicas.choose(is_sound, self._update, self._skip, gradients, before, measured)

    def _changed_forward(self) -> list[keras.Variable]:
        """What the forward pass changes by itself: averages of batch normalization, and the metrics."""
        return [*self._model.non_trainable_weights, *self._model.metrics_variables]

    def _sums(self) -> list[tf.Tensor]:
        """The sums of the metrics since the beginning of the epoch, and the number of examples in them."""
        trackers = self._model.metrics
        return [*(tf.identity(tracker.total.value) for tracker in trackers), tf.identity(trackers[0].count.value)]

    def _loss_scale(self) -> Any:
        """What the optimizer multiplies the loss with, to halve it where gradients overflow, down to 1."""
        return getattr(self._model.optimizer, "dynamic_scale", ops.ones(()))

    def _update(self, gradients: list[tf.Tensor], before: list[tf.Tensor], measured: tf.Tensor) -> None:
        replicas.apply(self._model.optimizer, gradients, self._model.trainable_weights)
        self._counts.assign(self._counts * np.array([1, 0, 1], np.int32))

    def _skip(self, gradients: list[tf.Tensor], before: list[tf.Tensor], measured: tf.Tensor) -> None:
        for variable, value in zip(self._changed_forward(), before, strict=True):
            variable.assign(value)
        self._counts.assign(self._counts + np.array([1, 1, 0], np.int32))
        self._measured.assign(measured)


def _variable(value: np.ndarray) -> keras.Variable:
    return keras.Variable(value, dtype=value.dtype, trainable=False, aggregation="only_first_replica")
