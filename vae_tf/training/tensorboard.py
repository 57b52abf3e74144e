"""Writes a run for TensorBoard: the columns of `history.csv`, the figures, and the metrics on the test set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from vae_tf.runs.tracking import name_test_metrics
from vae_tf.training.callbacks import EpochFigures, HistoryWriter


class TensorBoardWriter(keras.callbacks.Callback):
    """Writes every epoch's row and new figures as summaries, whose step is the epoch.

    Args:
        folder: The folder to write to.
        history: The callback that has the row; it must be called before this one.
        figures: The callback that draws the figures; it must be called before this one.
    """

    def __init__(self, folder: Path, history: HistoryWriter, figures: EpochFigures) -> None:
        super().__init__()
        self._history = history
        self._figures = figures
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Writes the row and the new figures."""
        row = self._history.rows[-1]
        prefix = f"{row['stage']}/" if "stage" in row else ""
        with self._writer.as_default(step=epoch + 1):
            for name, value in row.items():
                if name not in ("epoch", "stage"):
                    tf.summary.scalar(prefix + name, value)
            for path in self._figures.new_paths:
                tf.summary.image(path.parent.name, tf.io.decode_png(tf.io.read_file(str(path)))[tf.newaxis])
        self._writer.flush()

    def log_test(self, test: Mapping[str, float]) -> None:
        """Writes the metrics on the test set, and closes the file.

        Args:
            test: The result of the model's `evaluate`.
        """
        with self._writer.as_default(step=self._history.rows[-1]["epoch"]):
            for name, value in name_test_metrics(test).items():
                tf.summary.scalar(name, value)
        self._writer.close()
