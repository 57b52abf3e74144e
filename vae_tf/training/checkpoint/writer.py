"""Saves a run after each epoch's last step, after a number of steps or minutes, and when asked to stop."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import keras

from vae_tf.training.checkpoint.state import Arrays, TrainingState
from vae_tf.training.checkpoint.store import CheckpointStore
from vae_tf.training.interruption import Interruption

SECONDS_PER_MINUTE = 60


class CheckpointWriter(keras.callbacks.Callback):
    """Saves the state of training, and stops training after a signal.

    The arrays are copied between two steps and written by a separate thread while training continues. Use this as a
    context manager: it waits for the thread at the end.

    Args:
        state: The state to save.
        store: Where to save; `None` on a worker that saves nothing.
        interruption: The signals.
        describe: Function that returns what else to save.
        any_worker: Function that returns whether a condition holds on any worker. All workers call it each time, so
            that all stop at the same step.
        every: Save after every multiple of this number of steps, counted from the beginning of the run.
        minutes: Save after this many minutes; `None` for never.
        saved: The step that training resumes from and the arrays captured there, which are not saved again.
    """

    def __init__(
        self,
        state: TrainingState,
        store: CheckpointStore | None,
        interruption: Interruption,
        describe: Callable[[], dict[str, Any]],
        any_worker: Callable[[bool], bool] = bool,
        *,
        every: int | None = None,
        minutes: float | None = None,
        saved: tuple[int, Arrays] | None = None,
    ) -> None:
        super().__init__()
        self._state = state
        self._store = store
        self._interruption = interruption
        self._describe = describe
        self._any_worker = any_worker
        self._every = every
        self._seconds = None if minutes is None else SECONDS_PER_MINUTE * minutes
        self._saved = saved
        self._writer = ThreadPoolExecutor(1)
        self.steps_before = 0  # in the stages before the current one
        self._writing: Future[None] | None = None

    @property
    def saved_step(self) -> int | None:
        """The last saved step; `None` before the first."""
        return None if self._saved is None else self._saved[0]

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clock."""
        self._began = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remembers the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Saves if it is time to.

        Raises:
            Interrupted: A signal was received.
            OSError: The disk is full, or the folder is gone.
        """
        steps_per_epoch = self.params["steps"]
        step = self.steps_before + self._epoch * steps_per_epoch + batch + 1
        is_due = batch + 1 == steps_per_epoch or (self._every is not None and step % self._every == 0)
        is_to_stop = self._any_worker(self._interruption.is_requested)
        if is_due or is_to_stop or self._is_late():
            self._save(step)
        if is_to_stop:
            raise self._interruption.stop

    def roll_back(self) -> int | None:
        """Restores the weights and the optimizer as last saved, and returns the step they were saved at.

        Returns `None` if nothing was saved.
        """
        if self._saved is None:
            return None
        step, arrays = self._saved
        self._state.restore_updated(arrays)
        return step

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits until everything is written."""
        self._writer.shutdown()
        self._wait()

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def _is_late(self) -> bool:
        return self._seconds is not None and time.monotonic() - self._began >= self._seconds

    def _save(self, step: int) -> None:
        self._wait()
        self._began = time.monotonic()
        if step == self.saved_step:
            return
        arrays = self._state.capture()
        if not self._state.is_sound(arrays):
            return
        self._saved = step, arrays
        if self._store is not None:
            self._writing = self._writer.submit(self._store.write, step, arrays, self._describe())
