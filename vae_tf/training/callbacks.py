"""Callbacks that write files, draw figures and log to the tracker."""

import functools
import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.modality import get_modality
from vae_tf.registry import LOSSES
from vae_tf.runs.history import Row
from vae_tf.runs.run_dir import RunDir
from vae_tf.runs.tracking import Tracker
from vae_tf.training.optimizer import averaged_weights


class HistoryWriter(keras.callbacks.Callback):
    """Writes a row of `history.csv` after every epoch; `rows` holds all of them.

    `stage` is the value of the `stage` column; if `None`, the file has no such column.

    Args:
        run_dir: The run folder to write to.
        num_examples: Number of training examples per epoch.
        state: The result of `get_state` that was saved with the checkpoint, if training resumes.
    """

    def __init__(self, run_dir: RunDir, num_examples: int, state: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__()
        self.rows: list[Row] = list(state.get("history", []))
        self.stage: str | None = None
        self._elapsed_before_resume: float = state.get("seconds", 0.0)
        self._run_dir = run_dir
        self._num_examples = num_examples

    def get_state(self) -> dict[str, Any]:
        """Returns the rows, and the seconds spent on the current epoch so far."""
        return {"history": list(self.rows), "seconds": self._last_step_time - self._epoch_start}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts the epoch's clock."""
        self._last_step_time = time.perf_counter()
        self._epoch_start = self._last_step_time - self._elapsed_before_resume
        self._elapsed_before_resume = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Reads the clock here, so that validation and drawing are not counted."""
        self._last_step_time = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds a row and writes the file."""
        seconds = self._last_step_time - self._epoch_start
        stage = {} if self.stage is None else {"stage": self.stage}
        losses = {name: float(logs[name]) for name in sorted(logs, key=_column_order)}
        timing = {"seconds": round(seconds, 3), "images_per_second": round(self._num_examples / seconds, 1)}
        self.rows.append({**stage, "epoch": epoch + 1, **losses, **timing})
        self._run_dir.write_history(self.rows)


def _column_order(name: str) -> tuple[bool, int]:
    """Returns the sort key of a column: training before validation, and losses before other values."""
    loss = name.removeprefix("val_")
    return name.startswith("val_"), LOSSES.index(loss) if loss in LOSSES else len(LOSSES)


class EpochFigures(keras.callbacks.Callback):
    """Draws prior samples and reconstructions every `sample_every` epochs and after the last one.

    `paths` maps the title of each figure to its latest file; `new_paths` is empty after an epoch that draws nothing.

    Args:
        run_dir: The run folder to write to.
        config: The run's config; its seed determines the latents, which are the same in every epoch.
        read_examples: Function that returns the examples to reconstruct, as arrays that `fit` accepts, and the class of
            each, or `None` if there are no classes. It is called for the first figures, so that the first training
            step need not wait for it.
    """

    def __init__(
        self, run_dir: RunDir, config: RunConfig, read_examples: Callable[[], tuple[Any, np.ndarray | None]]
    ) -> None:
        super().__init__()
        self._run_dir = run_dir
        self._config = config
        self._read_examples = functools.cache(read_examples)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draws the figures if they are due."""
        num_epochs = epoch + 1
        self.new_paths: list[Path] = []
        if num_epochs % self._config.sample_every and num_epochs != self._config.epochs:
            return
        with averaged_weights(self.model):
            self._draw(num_epochs)
        # The objects of a figure refer to each other, and hold megabytes of pixels until they are garbage-collected.
        gc.collect(1)
        self.new_paths = list(self.paths.values())

    def _draw(self, num_epochs: int) -> None:
        modality_figures = get_modality(self.model.example_shape).figures
        examples, classes = self._read_examples()
        batch, suffix = self.model.unpack_batch(examples), f", epoch {num_epochs}"
        figures = modality_figures.epoch_figures(self.model, batch, classes, self._config.seed, suffix)
        self.paths = {
            name.capitalize(): self._run_dir.save_epoch_figure(name, figure, num_epochs)
            for name, figure in figures.items()
        }


class TrackingCallback(keras.callbacks.Callback):
    """Logs every epoch's row and new figures to the tracker.

    Args:
        tracker: The tracker.
        history: The callback that has the row; it must be called before this one.
        figures: The callback that draws the figures; it must be called before this one.
    """

    def __init__(self, tracker: Tracker, history: HistoryWriter, figures: EpochFigures) -> None:
        super().__init__()
        self._tracker = tracker
        self._history = history
        self._figures = figures

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Logs the row and the new figures."""
        self._tracker.log_epoch(self._history.rows[-1])
        for path in self._figures.new_paths:
            self._tracker.log_image(path)
