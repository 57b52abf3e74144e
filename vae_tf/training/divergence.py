"""Handles updates whose loss or gradient is not finite: they are skipped and counted."""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from vae_tf.backend.guarded_step import GuardedStep, Skipped
from vae_tf.config import RunConfig
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError

MAX_ROLLBACKS = 3


class DivergenceCallback(keras.callbacks.Callback):
    """Reports skipped updates, and stops training or rolls it back after too many of them.

    Args:
        guard: The guarded training step.
        config: The run's config; `on_nan` is used.
        roll_back: Function that restores the weights of the last checkpoint and returns its step, or `None` if there is
            none.
    """

    def __init__(self, guard: GuardedStep, config: RunConfig, roll_back: Callable[[], int | None]) -> None:
        super().__init__()
        self._guard = guard
        self._config = config
        self._roll_back = roll_back
        self._reported = guard.skipped.total

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remembers the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Checks how many steps in a row were skipped.

        Raises:
            InputError: There were too many.
        """
        skipped = self._guard.skipped
        if skipped.in_a_row < self._guard.max_in_a_row:
            return
        step = self._epoch * self.params["steps"] + batch + 1
        if self._config.on_nan != "rollback" or skipped.rollbacks == MAX_ROLLBACKS:
            raise InputError(self._message(step, skipped))
        origin = self._roll_back()
        if origin is None:
            raise InputError(f"{self._message(step, skipped)} (there is no checkpoint yet to go back to)")
        self._guard.count_rollback()
        self._warn(f"training diverged at step {step}; it goes on from there with the weights of step {origin}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Warns about the updates that were skipped in the epoch."""
        total = self._guard.skipped.total
        if total > self._reported:
            self._warn(f"epoch {epoch + 1}: {total - self._reported} updates skipped: loss or gradient not finite")
        self._reported = total

    def _message(self, step: int, skipped: Skipped) -> str:
        steps = f"in {skipped.in_a_row} steps in a row" if skipped.in_a_row > 1 else "in one step (on_nan=stop)"
        losses = ", ".join(f"{name} {value:g}" for name, value in skipped.losses.items())
        return (
            f"Training diverged in epoch {self._epoch + 1}: loss or gradient was not finite {steps}, to step {step}. "
            f"Received: {losses}, gradient norm {skipped.gradient_norm:g}, "
            f"learning_rate={self._config.learning_rate:g}; lower it, or set clip_norm, in another run_dir or with "
            "--overwrite"
        )

    def _warn(self, message: str) -> None:
        print(f"warning: {message}", file=sys.stderr, flush=True)


def check_end(model: VAE, test: dict[str, float], config: RunConfig) -> None:
    """Raises an error if the last update, which no training loss reflects, broke the model.

    Raises:
        InputError: The loss on the test set or a weight is not finite.
    """
    weights = (ops.convert_to_numpy(weight) for weight in model.weights)
    if not (np.isfinite(test["loss"]) and all(np.isfinite(values).all() for values in weights)):
        raise InputError(
            f"Training diverged in epoch {config.epochs}: the loss is not a finite number. "
            f"Received: learning_rate={config.learning_rate}; lower it, in another run_dir or with --overwrite"
        )
