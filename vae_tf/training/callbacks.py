"""What training writes and shows, one callback each."""

import gc
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from vae_tf.config import RunConfig
from vae_tf.data.modality import Modality, modality_of
from vae_tf.registry import LOSSES
from vae_tf.runs.run_dir import Row, RunDir
from vae_tf.runs.tracking import Tracker
from vae_tf.training.optimizer import averaged_weights

# Short, so that the bar fits a terminal of 80 columns.
BAR_LABELS = {"loss": "loss", "reconstruction_loss": "reconstruction", "kl_loss": "kl"}


class History(keras.callbacks.Callback):
    """Writes a row of `history.csv` after every epoch; `rows` holds all of them.

    `stage` is the value of the `stage` column; if it is `None`, there is no such column.

    Args:
        run_dir: The run folder to write to.
        num_images: Training images per epoch.
        saved: The saved result of `progress`, if training resumes.
    """

    def __init__(self, run_dir: RunDir, num_images: int, saved: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__()
        self.rows: list[Row] = list(saved.get("history", []))
        self.stage: str | None = None
        self._seconds_before: float = saved.get("seconds", 0.0)
        self._run_dir = run_dir
        self._num_images = num_images

    def progress(self) -> dict[str, Any]:
        """Returns the rows, and the seconds spent on the current epoch so far."""
        return {"history": list(self.rows), "seconds": self._trained - self._began}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the epoch's clock."""
        self._trained = time.perf_counter()
        self._began, self._seconds_before = self._trained - self._seconds_before, 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Reads the clock here, so that validation and drawing do not count."""
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds a row and writes the file."""
        seconds = self._trained - self._began
        stage = {} if self.stage is None else {"stage": self.stage}
        losses = {name: float(logs[name]) for name in sorted(logs, key=_column)}
        clock = {"seconds": round(seconds, 3), "images_per_second": round(self._num_images / seconds, 1)}
        self.rows.append({**stage, "epoch": epoch + 1, **losses, **clock})
        self._run_dir.write_history(self.rows)


def _column(name: str) -> tuple[bool, int]:
    """Returns the place of a column: losses before other values, those of training before those of validation."""
    loss = name.removeprefix("val_")
    return name.startswith("val_"), LOSSES.index(loss) if loss in LOSSES else len(LOSSES)


class Progress(keras.callbacks.Callback):
    """Shows a bar with the three losses and images/s on a terminal, and prints a line after every epoch.

    If the output is piped, only the lines are printed.

    Args:
        history: The callback with the epoch's row; it is called before this one.
        config: The run's config.
        num_examples: Training examples per epoch.
        modality: Modality of the examples.
    """

    def __init__(self, history: History, config: RunConfig, num_examples: int, modality: Modality) -> None:
        super().__init__()
        self._history = history
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
            bar_format="{desc} {percentage:3.0f}%{bar} {rate_noinv_fmt}",
            file=sys.stdout,
            disable=not sys.stdout.isatty(),
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Advances the bar."""
        if self._bar.disable:
            return
        losses = "  ".join(f"{label} {float(logs[name]):.1f}" for name, label in BAR_LABELS.items() if name in logs)
        self._bar.set_description_str(f"{self._name(self._epoch)}  {losses}", refresh=False)
        self._bar.update(min((batch + 1) * self._config.batch_size, self._num_examples) - self._bar.n)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Replaces the bar with the line of the epoch."""
        self._bar.close()
        row = self._history.rows[-1]
        losses = "  ".join(f"{name} {row[name]:.2f}" for name in (*LOSSES, "val_loss") if name in row)
        print(f"{self._name(epoch)}  {losses}  {row['images_per_second']:,.0f} {self._noun}/s", flush=True)

    def _name(self, epoch: int) -> str:
        total = str(self._config.epochs)
        return f"epoch {epoch + 1:{len(total)}}/{total}"


class EpochFigures(keras.callbacks.Callback):
    """Draws prior samples and reconstructions every `sample_every` epochs and after the last one.

    `paths` are the latest files by what they show; `new_paths` is empty after an epoch that draws nothing.

    Args:
        run_dir: The run folder to write to.
        config: The run's config; its seed fixes the latents, which are the same at every epoch.
        batch: Examples to reconstruct, as arrays that `fit` takes.
        classes: Class of each example, if there are any.
    """

    def __init__(self, run_dir: RunDir, config: RunConfig, batch: Any, classes: np.ndarray | None = None) -> None:
        super().__init__()
        self._run_dir = run_dir
        self._config = config
        self._batch = batch
        self._classes = classes

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draws the figures if they are due."""
        done = epoch + 1
        self.new_paths: list[Path] = []
        if done % self._config.sample_every and done != self._config.epochs:
            return
        with averaged_weights(self.model):
            self._draw(done)
        # A figure and its parts refer to each other, and keep megabytes of pixels until they are garbage-collected.
        gc.collect(1)
        self.new_paths = list(self.paths.values())

    def _draw(self, done: int) -> None:
        figures = modality_of(self.model.example_shape).figures
        seen, when = self.model.observed(self._batch), f", epoch {done}"
        drawn = figures.epoch(self.model, seen, self._classes, self._config.seed, when)
        self.paths = {name.capitalize(): self._run_dir.save_epoch_figure(name, drawn[name], done) for name in drawn}


class TrackingCallback(keras.callbacks.Callback):
    """Passes every epoch's row and new figures to the tracker.

    Args:
        tracker: The tracker.
        history: The callback with the row; it is called before this one.
        pictures: The callback that draws the figures; it is called before this one.
    """

    def __init__(self, tracker: Tracker, history: History, pictures: EpochFigures) -> None:
        super().__init__()
        self._tracker = tracker
        self._history = history
        self._pictures = pictures

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Logs the row and the new figures."""
        self._tracker.log_epoch(self._history.rows[-1])
        for path in self._pictures.new_paths:
            self._tracker.log_image(path)
