"""Saves a run after the last step of each epoch, after a number of steps or minutes, and on SIGINT or SIGTERM."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import keras

from vae_tf.training.checkpoint.state import Arrays, TrainingState
from vae_tf.training.checkpoint.store import CheckpointStore
from vae_tf.training.interruption import SignalHandler

SECONDS_PER_MINUTE = 60


class CheckpointWriter(keras.callbacks.Callback):
    """Saves the state of training, and stops training after a signal.

    The arrays are copied between two steps and written by a separate thread while training continues. Use the writer as
    a context manager, which waits for the thread at the end.

    Args:
        state: The state to save.
        store: Where to save checkpoints; `None` on a worker that does not save.
        signal_handler: Receives the signals.
        get_progress: Function that returns the progress to save with the arrays.
        any_worker: Function that returns whether a condition holds on any worker. All workers call it on every check,
            so that they stop at the same step.
        save_every_steps: Number of steps between checkpoints, counted from the beginning of the run.
        save_every_minutes: Number of minutes between checkpoints. Default: no time-based checkpoints.
        last_saved: The step that training resumes from and its arrays, which are not saved again.
    """

    def __init__(
        self,
        state: TrainingState,
        store: CheckpointStore | None,
        signal_handler: SignalHandler,
        get_progress: Callable[[], dict[str, Any]],
        any_worker: Callable[[bool], bool] = bool,
        *,
        save_every_steps: int | None = None,
        save_every_minutes: float | None = None,
        last_saved: tuple[int, Arrays] | None = None,
    ) -> None:
        super().__init__()
        self._state = state
        self._store = store
        self._signal_handler = signal_handler
        self._get_progress = get_progress
        self._any_worker = any_worker
        self._save_every = save_every_steps
        self._interval = None if save_every_minutes is None else SECONDS_PER_MINUTE * save_every_minutes
        self._last_saved = last_saved
        self._executor = ThreadPoolExecutor(1)
        self.steps_in_previous_stages = 0
        self._pending: Future[None] | None = None

    @property
    def saved_step(self) -> int | None:
        """The step that was last saved; `None` if no step was saved."""
        return None if self._last_saved is None else self._last_saved[0]

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clock."""
        self._interval_start = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Stores the epoch index."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves if a checkpoint is due.

        Raises:
            Interrupted: A signal was received.
            OSError: The disk is full, or the folder no longer exists.
        """
        steps_per_epoch = self.params["steps"]
        step = self.steps_in_previous_stages + self._epoch * steps_per_epoch + batch + 1
        is_due = batch + 1 == steps_per_epoch or (self._save_every is not None and step % self._save_every == 0)
        should_stop = self._any_worker(self._signal_handler.is_stop_requested)
        if is_due or should_stop or self._has_interval_elapsed():
            self._save(step)
        if should_stop:
            raise self._signal_handler.exception

    def roll_back(self) -> int | None:
        """Restores the weights and the optimizer that were last saved, and returns the step at which they were saved.

        Returns `None` if nothing was saved.
        """
        if self._last_saved is None:
            return None
        step, arrays = self._last_saved
        self._state.restore_weights_and_optimizer(arrays)
        return step

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits until everything is written."""
        self._executor.shutdown()
        self._wait()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()

    def _has_interval_elapsed(self) -> bool:
        return self._interval is not None and time.monotonic() - self._interval_start >= self._interval

    def _save(self, step: int) -> None:
        self._wait()
        self._interval_start = time.monotonic()
        if step == self.saved_step:
            return
        arrays = self._state.capture()
        if not self._state.should_save(arrays):
            return
        self._last_saved = step, arrays
        if self._store is not None:
            self._pending = self._executor.submit(self._store.write, step, arrays, self._get_progress())
