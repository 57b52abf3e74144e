"""A training step that skips non-finite updates."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vae_tf.backend import replicas

MAX_CONSECUTIVE_SKIPS = 10


class SkippedUpdates(NamedTuple):
    """Counts of skipped updates, and the losses and the gradient norm at the latest one.

    Attributes:
        total: Number of skipped updates since the beginning of the run.
        consecutive: Number of consecutive skipped updates up to now; 0 if the latest step made an update.
        rollbacks: Number of times training was rolled back because of skipped updates.
        losses: Batch means of the losses at the latest skipped step, by metric name.
        gradient_norm: Global gradient norm at the latest skipped step.
    """

    total: int
    consecutive: int
    rollbacks: int
    losses: dict[str, float]
    gradient_norm: float


class GuardedStep:
    """A training step that skips the update if a loss, a gradient or a moving statistic is not finite.

    A skipped step leaves the weights, the moving statistics of batch normalization, the optimizer state, the averaged
    weights and the metrics as they were; it only advances the random number generators. An overflow of a scaled loss
    does not count: the loss-scaling optimizer handles it.

    Args:
        model: A compiled model with a method `gradients(data)`, whose metrics are means over examples.
        max_consecutive_skips: After this many consecutive skipped steps, `may_continue` returns false.
    """

    def __init__(self, model: keras.Model, max_consecutive_skips: int = MAX_CONSECUTIVE_SKIPS) -> None:
        self.max_consecutive_skips = max_consecutive_skips
        self._model = model
        self._loss_names = [metric.name for metric in model.metrics[1:]]  # without the total loss, which comes first
        with tf.init_scope(), model.distribute_strategy.scope():
            if not model.optimizer.built:  # otherwise the traced step would treat the loss scale as a constant
                model.optimizer.build(model.trainable_weights)
            self._counts = _variable(np.zeros(3, np.int32))
            self._losses_and_norm = _variable(np.zeros(len(self._loss_names) + 1, np.float32))

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables that hold the counts, and the losses and the gradient norm at the latest skipped step."""
        return [self._counts, self._losses_and_norm]

    @property
    def skipped(self) -> SkippedUpdates:
        """The updates skipped so far."""
        *losses, gradient_norm = ops.convert_to_numpy(self._losses_and_norm).tolist()
        by_name = dict(zip(self._loss_names, losses, strict=True))
        total, consecutive, rollbacks = ops.convert_to_numpy(self._counts).tolist()
        return SkippedUpdates(total, consecutive, rollbacks, by_name, gradient_norm)

    def may_continue(self) -> tf.Tensor:
        """Returns whether training may take another step, as a bool scalar."""
        return self._counts.value[1] < self.max_consecutive_skips

    def count_rollback(self) -> None:
        """Counts a rollback, and resets the number of consecutive skipped steps."""
        self._counts.assign([self.skipped.total, 0, self.skipped.rollbacks + 1])

    def __call__(self, data: Any) -> None:
        """Updates the weights on a batch, or skips the update if it would not be finite."""
        model = self._model
        before = [tf.identity(variable.value) for variable in self._variables_updated_by_forward_pass()]
        totals = self._metric_totals()
        gradients = model.gradients(data)
        gradient_norm = tf.linalg.global_norm(gradients) / ops.cast(self._loss_scale(), "float32")
        pairs = zip(self._metric_totals(), totals, strict=True)
        increments = replicas.sum_over_replicas([after - total for after, total in pairs])
        if replicas.has_multiple_replicas():
            self._accumulate_on_first_replica(totals, increments)
        *losses, count = increments
        losses_and_norm = tf.stack([*(loss / count for loss in losses[1:]), gradient_norm])
        # Normalizing by an infinite variance gives 0, so the loss would be finite although the variance is not.
        moving_statistics = [tf.reduce_sum(weight.value) for weight in model.non_trainable_weights]
        is_finite = tf.reduce_all(tf.math.is_finite([*losses, *moving_statistics]))
        should_update = is_finite & (tf.math.is_finite(gradient_norm) | (self._loss_scale() > 1.0))
        replicas.cond_over_replicas(should_update, self._update, self._skip, gradients, before, losses_and_norm)

    def _variables_updated_by_forward_pass(self) -> list[keras.Variable]:
        """Returns the variables that the forward pass updates: moving statistics and metrics."""
        return [*self._model.non_trainable_weights, *self._model.metrics_variables]

    def _metric_totals(self) -> list[tf.Tensor]:
        """Returns the sums of the metrics since the beginning of the epoch, and the number of examples in them."""
        trackers = self._model.metrics
        return [*(tf.identity(tracker.total.value) for tracker in trackers), tf.identity(trackers[0].count.value)]

    def _accumulate_on_first_replica(self, totals: list[tf.Tensor], increments: list[tf.Tensor]) -> None:
        """Adds the increments of all replicas to the first replica's metrics, and restores those of the other replicas.

        By default, each replica keeps its own share. A checkpoint contains only the sum of the shares, and splitting
        the sum again would round differently, so a resumed run would not be bit-identical.
        """
        pairs = zip(totals, increments, strict=True)
        *losses, count = (total + replicas.mask_to_first_replica(increment) for total, increment in pairs)
        for tracker, loss in zip(self._model.metrics, losses, strict=True):
            tracker.total.assign(loss)
            tracker.count.assign(count)

    def _loss_scale(self) -> Any:
        """Returns the optimizer's loss scale, which it halves when gradients overflow, down to 1."""
        return getattr(self._model.optimizer, "dynamic_scale", ops.ones(()))

    def _update(self, gradients: list[tf.Tensor], before: list[tf.Tensor], losses_and_norm: tf.Tensor) -> None:
        replicas.apply_gradients(self._model.optimizer, gradients, self._model.trainable_weights)
        self._counts.assign(self._counts * np.array([1, 0, 1], np.int32))

    def _skip(self, gradients: list[tf.Tensor], before: list[tf.Tensor], losses_and_norm: tf.Tensor) -> None:
        for variable, value in zip(self._variables_updated_by_forward_pass(), before, strict=True):
            variable.assign(value)
        self._counts.assign(self._counts + np.array([1, 1, 0], np.int32))
        self._losses_and_norm.assign(losses_and_norm)


def _variable(value: np.ndarray) -> keras.Variable:
    return keras.Variable(value, dtype=value.dtype, trainable=False, aggregation="only_first_replica")
