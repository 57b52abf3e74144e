"""Callbacks that show the progress of training, and how long the rest of it will take."""

import sys
import time
from collections.abc import Callable
from typing import Any

import keras
from tqdm import tqdm

from vae_tf.config import RunConfig
from vae_tf.data.modality import Modality
from vae_tf.registry import LOSSES
from vae_tf.training.callbacks import HistoryWriter

# Short, so that the bar fits in an 80-column terminal.
BAR_LABELS = {"loss": "loss", "reconstruction_loss": "reconstruction", "kl_loss": "kl"}
BAR_FORMAT = "{desc} {percentage:3.0f}%{bar} {rate_noinv_fmt}"
BAR_FORMAT_WITH_TIME_LEFT = "{desc} {percentage:3.0f}%{bar}{postfix}"
MIN_TIMED_SECONDS = 3.0


class TimeLeft(keras.callbacks.Callback):
    """Estimates how long the rest of training will take on this machine, from the steps and epochs so far.

    Args:
        clock: Function that returns the current time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__()
        self._clock = clock
        self._timed_steps = 0
        self._timed_seconds = 0.0
        self._seconds_between_epochs = 0.0
        self._is_compiled = False
        self._last_time = 0.0

    @property
    def seconds(self) -> float | None:
        """The estimate in seconds; `None` while too few steps have been timed."""
        if self._timed_seconds < MIN_TIMED_SECONDS:
            return None
        epochs, steps = self.params["epochs"] - self._epoch, self.params["steps"]
        steps_left = epochs * steps - (self._batch + 1)
        return steps_left * self._timed_seconds / self._timed_steps + epochs * self._seconds_between_epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Measures how long validation and figures took since the last step."""
        now = self._clock()
        if self._is_compiled:
            self._seconds_between_epochs = now - self._last_time
        self._epoch, self._batch, self._last_time = epoch, -1, now

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Times the steps since the last call; the first call also compiles the step, and is left out."""
        now = self._clock()
        if self._is_compiled:
            self._timed_steps += batch - self._batch
            self._timed_seconds += now - self._last_time
        self._is_compiled = True
        self._batch, self._last_time = batch, now


def format_duration(seconds: float) -> str:
    """Returns a rounded duration, such as `"40 s"`, `"7 min"` or `"2 h 05 min"`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


class ProgressBar(keras.callbacks.Callback):
    """Shows a progress bar on a terminal, and prints a line after every epoch; both say how long the rest will take.

    If the output is piped, only the lines are printed. Before the first of them, as soon as a few steps have been
    timed, a line says how long training will take.

    Args:
        history: The callback that has the epoch's row; it must be called before this one.
        time_left: The callback that estimates the time left; it must be called before this one.
        config: The run's config.
        num_examples: Training examples per epoch.
        modality: Modality of the examples.
    """

    def __init__(
        self, history: HistoryWriter, time_left: TimeLeft, config: RunConfig, num_examples: int, modality: Modality
    ) -> None:
        super().__init__()
        self._history = history
        self._time_left = time_left
        self._is_announced = False
        self._config = config
        self._num_examples = num_examples
        self._noun = modality.plural

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Opens the epoch's bar."""
        self._epoch = epoch
        self._bar = tqdm(
            total=self._num_examples,
            desc=self._name(epoch),
            unit=f" {self._noun}",
            leave=False,
            bar_format=BAR_FORMAT,
            file=sys.stdout,
            disable=not sys.stdout.isatty(),
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Advances the bar; the first time that there is an estimate of the time left, prints it."""
        seconds_left = self._time_left.seconds
        if seconds_left is not None and not self._is_announced:
            self._is_announced = True
            self._bar.write(f"Time    about {format_duration(seconds_left)} left on this machine", file=sys.stdout)
            sys.stdout.flush()
        if self._bar.disable:
            return
        if seconds_left is not None:
            self._bar.bar_format = BAR_FORMAT_WITH_TIME_LEFT
            self._bar.set_postfix_str(f"{format_duration(seconds_left)} left", refresh=False)
        losses = "  ".join(f"{label} {float(logs[name]):.1f}" for name, label in BAR_LABELS.items() if name in logs)
        self._bar.set_description_str(f"{self._name(self._epoch)}  {losses}", refresh=False)
        self._bar.update(min((batch + 1) * self._config.batch_size, self._num_examples) - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Replaces the bar with the line of the epoch."""
        self._bar.close()
        row = self._history.rows[-1]
        losses = "  ".join(f"{name} {row[name]:.2f}" for name in (*LOSSES, "val_loss") if name in row)
        seconds_left = self._time_left.seconds
        is_last = epoch + 1 == self._config.epochs
        time_left = "" if seconds_left is None or is_last else f", {format_duration(seconds_left)} left"
        speed = f"{row['images_per_second']:,.0f} {self._noun}/s"
        print(f"{self._name(epoch)}  {losses}  {speed}{time_left}", flush=True)
        self._is_announced = True

    def _name(self, epoch: int) -> str:
        total = str(self._config.epochs)
        return f"epoch {epoch + 1:{len(total)}}/{total}"
