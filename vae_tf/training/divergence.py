"""Reports skipped updates, and stops training or rolls it back when it diverges."""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from vae_tf.backend.guarded_step import GuardedStep, SkippedUpdates
from vae_tf.config import RunConfig
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError

MAX_ROLLBACKS = 3


class DivergenceCallback(keras.callbacks.Callback):
    """Reports skipped updates, and stops training or rolls it back after too many of them.

    Args:
        guard: The guarded training step.
        config: The run's config; `on_nan` is used.
        roll_back: Function that restores the weights of the last checkpoint and returns its step, or returns `None` if
            there is no checkpoint.
    """

    def __init__(self, guard: GuardedStep, config: RunConfig, roll_back: Callable[[], int | None]) -> None:
        super().__init__()
        self._guard = guard
        self._config = config
        self._roll_back = roll_back
        self._num_reported = guard.skipped.total

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Stores the epoch index."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Checks how many consecutive steps were skipped.

        Raises:
            InputError: Too many consecutive steps were skipped.
        """
        skipped = self._guard.skipped
        if skipped.consecutive < self._guard.max_consecutive_skips:
            return
        step = self._epoch * self.params["steps"] + batch + 1
        if self._config.on_nan != "rollback" or skipped.rollbacks == MAX_ROLLBACKS:
            raise InputError(self._message(step, skipped))
        restored_step = self._roll_back()
        if restored_step is None:
            raise InputError(f"{self._message(step, skipped)} (there is no checkpoint to roll back to yet)")
        self._guard.count_rollback()
        self._warn(f"training diverged at step {step}; continuing with the weights of step {restored_step}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Warns about the updates that were skipped in the epoch."""
        total = self._guard.skipped.total
        if total > self._num_reported:
            num_skipped = total - self._num_reported
            updates = f"{num_skipped} update{'s' * (num_skipped > 1)}"
            self._warn(f"epoch {epoch + 1}: skipped {updates} because the loss or a gradient was not finite")
        self._num_reported = total

    def _message(self, step: int, skipped: SkippedUpdates) -> str:
        if skipped.consecutive > 1:
            steps = f"for {skipped.consecutive} consecutive steps, up to step {step}"
        else:
            steps = f"at step {step} (on_nan=stop)"
        losses = ", ".join(f"{name} {value:g}" for name, value in skipped.losses.items())
        return (
            f"Training diverged in epoch {self._epoch + 1}: the loss or gradient was not finite {steps}. "
            f"Last values: {losses}, gradient norm {skipped.gradient_norm:g}, "
            f"learning_rate={self._config.learning_rate:g}; lower learning_rate or set clip_norm, and start over "
            "in a new run_dir or with --overwrite"
        )

    def _warn(self, message: str) -> None:
        print(f"warning: {message}", file=sys.stderr, flush=True)


def check_final_model(model: VAE, test: dict[str, float], config: RunConfig) -> None:
    """Raises an error if the last update produced non-finite weights or losses; no training loss is computed after it.

    Raises:
        InputError: The loss on the test set or a weight is not finite.
    """
    weights = (ops.convert_to_numpy(weight) for weight in model.weights)
    if not (np.isfinite(test["loss"]) and all(np.isfinite(values).all() for values in weights)):
        raise InputError(
            f"Training diverged in epoch {config.epochs}: the final weights or the test loss are not finite. Lower "
            f"learning_rate={config.learning_rate}, and start over in a new run_dir or with --overwrite"
        )
