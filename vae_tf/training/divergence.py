"""What happens to an update whose loss or gradient is not finite: it is not made, and counted."""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vae_tf.backend import replicas
from vae_tf.config import RunConfig
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError

MOST_IN_A_ROW = 10
MOST_ROLLBACKS = 3


class Skipped(NamedTuple):
    """The updates that were not made.

    Attributes:
        total: How many, since the beginning of the run.
        in_a_row: How many of them were the latest steps; 0 where the latest made an update.
        rollbacks: How often training went back because of them.
        reconstruction_loss: Of the latest of them, the mean of its batch, in nats.
        kl_loss: As well.
        gradient_norm: Of the gradients of all its weights together.
    """

    total: int
    in_a_row: int
    rollbacks: int
    reconstruction_loss: float
    kl_loss: float
    gradient_norm: float


class GuardedStep:
    """A `train_step` that makes no update where loss, gradient or an average of a batch is infinite or not a number.

    Weights, batch normalization's averages, the optimizer, averaged weights and metrics are then as they were before
    the step; only its noise is spent. The overflow of a scaled loss is none of that: its optimizer looks after it.

    Args:
        model: A compiled model.
        most_in_a_row: After so many steps without an update there is no other one, until they are forgiven.
    """

    def __init__(self, model: VAE, most_in_a_row: int = MOST_IN_A_ROW) -> None:
        self.most_in_a_row = most_in_a_row
        self._model = model
        with model.distribute_strategy.scope():
            if not model.optimizer.built:  # else the scale of the loss would be a constant of the step
                model.optimizer.build(model.trainable_weights)
            self._counts = _variable(np.zeros(3, np.int32))
            self._measured = _variable(np.zeros(3, np.float32))

    @property
    def variables(self) -> list[keras.Variable]:
        """What it counts with."""
        return [self._counts, self._measured]

    @property
    def skipped(self) -> Skipped:
        """The updates that were not made so far."""
        return Skipped(*ops.convert_to_numpy(self._counts).tolist(), *ops.convert_to_numpy(self._measured).tolist())

    def may_go_on(self) -> tf.Tensor:
        """Returns whether there may be another step, a bool scalar."""
        return self._counts.value[1] < self.most_in_a_row

    def count_rollback(self) -> None:
        """Begins to count the steps in a row anew."""
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
        """The sums of the three losses since the beginning of the epoch, and of how many examples they are."""
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


class OnDivergence(keras.callbacks.Callback):
    """Tells of updates that were not made, and stops training or goes back where it is time to.

    Args:
        guard: The step.
        config: The run; `on_nan` is used.
        roll_back: Brings back the weights of the last checkpoint, and returns of which step it was: `None` if none.
    """

    def __init__(self, guard: GuardedStep, config: RunConfig, roll_back: Callable[[], int | None]) -> None:
        super().__init__()
        self._guard = guard
        self._config = config
        self._roll_back = roll_back
        self._told = guard.skipped.total

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Notes which epoch it is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks at how many of the latest steps made no update.

        Raises:
            InputError: They are too many.
        """
        skipped = self._guard.skipped
        if skipped.in_a_row < self._guard.most_in_a_row:
            return
        step = self._epoch * self.params["steps"] + batch + 1
        if self._config.on_nan != "rollback" or skipped.rollbacks == MOST_ROLLBACKS:
            raise InputError(self._told_of(step, skipped))
        origin = self._roll_back()
        if origin is None:
            raise InputError(f"{self._told_of(step, skipped)} (there is no checkpoint yet to go back to)")
        self._guard.count_rollback()
        self._warn(f"training diverged at step {step}; it goes on from there with the weights of step {origin}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tells how many updates of the epoch were not made."""
        total = self._guard.skipped.total
        if total > self._told:
            self._warn(f"epoch {epoch + 1}: {total - self._told} updates skipped: loss or gradient not finite")
        self._told = total

    def _told_of(self, step: int, skipped: Skipped) -> str:
        steps = f"in {skipped.in_a_row} steps in a row" if skipped.in_a_row > 1 else "in one step (on_nan=stop)"
        return (
            f"Training diverged in epoch {self._epoch + 1}: loss or gradient was not finite {steps}, to step {step}. "
            f"Received: reconstruction_loss {skipped.reconstruction_loss:g}, kl_loss {skipped.kl_loss:g}, gradient "
            f"norm {skipped.gradient_norm:g}, learning_rate={self._config.learning_rate:g}; lower it, or set "
            "clip_norm, in another run_dir or with --overwrite"
        )

    def _warn(self, message: str) -> None:
        print(f"warning: {message}", file=sys.stderr, flush=True)


def check_end(model: VAE, test: dict[str, float], config: RunConfig) -> None:
    """Raises where the last update, which no loss of the training shows, made a model of no use.

    Raises:
        InputError: The loss of the test split is not finite, or a weight is not.
    """
    weights = (ops.convert_to_numpy(weight) for weight in model.weights)
    if not (np.isfinite(test["loss"]) and all(np.isfinite(values).all() for values in weights)):
        raise InputError(
            f"Training diverged in epoch {config.epochs}: the loss is not a finite number. "
            f"Received: learning_rate={config.learning_rate}; lower it, in another run_dir or with --overwrite"
        )


def _variable(value: np.ndarray) -> keras.Variable:
    return keras.Variable(value, dtype=value.dtype, trainable=False, aggregation="only_first_replica")
