"""The run folder: only this module knows its file names. Files are written atomically."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.sources.image_files import SkippedFile
from vae_tf.registry import TOY_DATASETS
from vae_tf.runs.damaged_files import as_input_error
from vae_tf.runs.history import Row, read_rows, write_rows
from vae_tf.runs.model_file import load_keras_file, read_keras_config, save_keras_file
from vae_tf.support.errors import InputError
from vae_tf.support.files import atomic_write, remove_partial_writes
from vae_tf.support.tables import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vae_tf.model.sampler import Sampler
    from vae_tf.model.vae import VAE

CONFIG = "config.yml"
HISTORY = "history.csv"
MODEL = "model.keras"
CURVES = "curves.png"
SAMPLES = "samples"
RECONSTRUCTIONS = "reconstructions"
CHECKPOINTS = "checkpoints"
CLASSES = "classes.json"
SKIPPED_FILES = "skipped_files.csv"
DATA = "data.npz"
TENSORBOARD = "tensorboard"
METRICS = "metrics.json"
PER_IMAGE = "per_image.npz"
REPORT = "report.html"
SAMPLER = "sampler.keras"
EVALUATION = (METRICS, PER_IMAGE, REPORT)
RESULTS = (MODEL, SAMPLER, CURVES, *EVALUATION)
METRICS_KEYS = (
    *("dataset", "example_shape", "likelihood", "pictures_sha256"),
    *("settings", "metrics", "kl_per_dimension", "references"),
)
EPOCH_FIGURES = "epoch_*.png"


class RunDir:
    """A run folder.

    Args:
        path: The folder. `create_run_dir` creates a new one; `open` opens an existing one, finished or not.
        data_dir: Path to the data, if it has moved since training. Default: the path used in training.
    """

    def __init__(self, path: Path, data_dir: str | None = None) -> None:
        self.path = path
        self._data_dir = data_dir

    @classmethod
    def open(cls, path: Path, data_dir: str | None = None) -> Self:
        """Returns the run folder at `path`.

        Args:
            path: The folder.
            data_dir: Path to the data, if it has moved since training. Default: the path used in training.

        Raises:
            InputError: There is no run at `path`.
        """
        try:
            exists, is_run = path.exists(), (path / CONFIG).is_file()
        except OSError as error:
            raise InputError(f"run must be a readable run folder. Received: {path} ({error})") from None
        if not is_run:
            reason = f"it has no {CONFIG}" if exists else "no such folder"
            raise InputError(f"run must be a run folder written by train. Received: {path} ({reason})")
        return cls(path, data_dir)

    def remove_run(self) -> None:
        """Removes every file of the run except `config.yml`, which stays until a new one replaces it."""
        self.remove_results()
        for name in (CLASSES, SKIPPED_FILES, HISTORY, DATA):
            (self.path / name).unlink(missing_ok=True)
        for name in (CHECKPOINTS, TENSORBOARD):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for folder in (self.path / SAMPLES, self.path / RECONSTRUCTIONS):
            for image in folder.glob(EPOCH_FIGURES):
                image.unlink()

    def remove_results(self) -> None:
        """Removes the files that a run writes when it finishes, and leftovers of interrupted processes."""
        for name in RESULTS:
            (self.path / name).unlink(missing_ok=True)
        for folder in (self.path, self.path / SAMPLES, self.path / RECONSTRUCTIONS):
            remove_partial_writes(folder)

    def write_config(self, config: RunConfig) -> None:
        """Writes `config.yml`."""
        with atomic_write(self.path / CONFIG) as partial:
            partial.write_text(config.to_yaml(), encoding="utf-8")

    def read_config(self) -> RunConfig:
        """Returns the config in `config.yml`, with the current path to the data.

        Raises:
            InputError: The file is damaged.
        """
        config = RunConfig.from_yaml(self.path / CONFIG)
        if config.dataset not in TOY_DATASETS and None in (config.image_size, config.channels):
            raise InputError(
                f"{self.path / CONFIG} is incomplete: image_size or channels is missing; train the model again"
            )
        data_dir = str(self.data_path) if self._data_dir is None and self.data_path.exists() else self._data_dir
        return config if data_dir is None else config.model_copy(update={"data_dir": data_dir})

    @property
    def data_path(self) -> Path:
        """Path of `data.npz`, which exists if the run was trained on arrays instead of files."""
        return self.path / DATA

    def write_data(self, arrays: Mapping[str, Any]) -> None:
        """Writes `data.npz`: the arrays of images and labels that the run is trained on."""
        with atomic_write(self.data_path) as partial:
            np.savez(partial, **arrays)  # not compressed, so that large arrays can be read from the file

    def write_classes(self, names: Sequence[str]) -> None:
        """Writes `classes.json`: the class names of a conditional run, in the order of the labels."""
        with atomic_write(self.path / CLASSES) as partial:
            partial.write_text(json.dumps(list(names)), encoding="utf-8")

    def read_classes(self) -> tuple[str, ...] | None:
        """Returns the names in `classes.json`, or `None` if the classes of the run have no names.

        Raises:
            InputError: The file is damaged.
        """
        if not (self.path / CLASSES).exists():
            return None
        with as_input_error(self.path / CLASSES, "train") as path:
            return tuple(map(str, json.loads(path.read_text(encoding="utf-8"))))

    def write_skipped_files(self, skipped: Sequence[SkippedFile]) -> None:
        """Writes `skipped_files.csv`: the data files that can't be read, and why; removes it if there are none."""
        (self.path / SKIPPED_FILES).unlink(missing_ok=True)
        if skipped:
            with atomic_write(self.path / SKIPPED_FILES) as partial:
                write_csv(partial, ("file", "reason"), skipped)

    def write_history(self, history: Sequence[Row]) -> None:
        """Writes `history.csv` with one row per epoch; missing values are blank."""
        with atomic_write(self.path / HISTORY) as partial:
            write_rows(partial, history)

    def read_history(self) -> list[Row]:
        """Returns the rows of `history.csv`, without blank values.

        Raises:
            InputError: The file is missing or damaged.
        """
        with as_input_error(self.path / HISTORY, "train") as path:
            return read_rows(path)

    @property
    def is_evaluated(self) -> bool:
        """Whether `metrics.json` exists."""
        return self.metrics_path.is_file()

    @property
    def metrics_path(self) -> Path:
        """Path of `metrics.json`, which exists once the run is evaluated."""
        return self.path / METRICS

    def write_metrics(self, metrics: dict[str, Any], per_image: dict[str, Any]) -> None:
        """Writes `metrics.json`, and the per-image values `(N,)` behind its means to `per_image.npz`."""
        with atomic_write(self.path / PER_IMAGE) as partial:
            np.savez_compressed(partial, **per_image)
        with atomic_write(self.metrics_path) as partial:
            partial.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")

    @property
    def report_path(self) -> Path:
        """Path of `report.html`, which exists once the run is evaluated."""
        return self.path / REPORT

    def write_report(self, page: str) -> None:
        """Writes `report.html`."""
        with atomic_write(self.report_path) as partial:
            partial.write_text(page, encoding="utf-8")

    def read_metrics(self) -> dict[str, Any]:
        """Returns the contents of `metrics.json`.

        Raises:
            InputError: The file is damaged.
        """
        with as_input_error(self.metrics_path, "evaluate") as path:
            metrics = json.loads(path.read_text(encoding="utf-8"))
            return {key: metrics[key] for key in METRICS_KEYS}

    def read_per_image(self) -> dict[str, np.ndarray]:
        """Returns the values per image `(N,)` of each metric.

        Raises:
            InputError: The file is missing or damaged.
        """
        with as_input_error(self.path / PER_IMAGE, "evaluate") as path, np.load(path) as values:
            return dict(values)

    def save_epoch_figure(self, kind: str, figure: "Figure", epoch: int) -> Path:
        """Writes the `"samples"` or `"reconstructions"` figure of an epoch and returns its path."""
        return self._save(figure, Path(kind, f"epoch_{epoch:04d}.png"))

    def save_curves(self, figure: "Figure") -> Path:
        """Writes `curves.png` and returns its path."""
        return self._save(figure, Path(CURVES))

    def save_model(self, model: "VAE") -> Path:
        """Writes `model.keras` and returns its path."""
        target = self.path / MODEL
        with atomic_write(target) as partial:
            model.save(partial)
        return target

    @property
    def tensorboard_path(self) -> Path:
        """Path of the folder `tensorboard`, which exists if the run was written for TensorBoard."""
        return self.path / TENSORBOARD

    @property
    def is_started(self) -> bool:
        """Whether the folder contains a run."""
        return (self.path / CONFIG).is_file()

    @property
    def is_finished(self) -> bool:
        """Whether training has finished."""
        return (self.path / MODEL).is_file()

    def check_finished(self) -> None:
        """Raises an error if training has not finished.

        Raises:
            InputError: There is no model yet.
        """
        if not self.is_finished:
            raise InputError(f"run must be finished. Received: {self.path} (it has no {MODEL}); let training finish")

    def load_model(self, trusted: Sequence[str] = ()) -> "VAE":
        """Returns the model in `model.keras`, loaded in safe mode.

        Args:
            trusted: Packages other than Keras and vae_tf whose classes the file may contain.

        Raises:
            InputError: The model is missing (the run has not finished), damaged, or contains classes of other packages.
        """
        self.check_finished()
        return load_keras_file(self.path / MODEL, trusted=trusted)

    @property
    def has_sampler(self) -> bool:
        """Whether `sampler.keras` exists."""
        return (self.path / SAMPLER).is_file()

    def read_sampler_config(self) -> dict[str, Any] | None:
        """Returns the constructor's arguments of the sampler in `sampler.keras`, or `None` if there is none.

        Raises:
            InputError: The file is damaged.
        """
        if not self.has_sampler:
            return None
        with as_input_error(self.path / SAMPLER, "fit_sampler") as path:
            return dict(read_keras_config(path)["config"])

    def save_sampler(self, sampler: "Sampler") -> Path:
        """Writes `sampler.keras` and returns its path; deletes the run's evaluation, which did not use it."""
        target = self.path / SAMPLER
        for name in EVALUATION:
            (self.path / name).unlink(missing_ok=True)
        with atomic_write(target) as partial:
            save_keras_file(sampler, partial)
        return target

    def load_sampler(self, trusted: Sequence[str] = ()) -> "Sampler | None":
        """Returns the sampler in `sampler.keras`, or `None` if there is none; see `load_model`."""
        return load_keras_file(self.path / SAMPLER, root_class=None, trusted=trusted) if self.has_sampler else None

    def _save(self, figure: "Figure", name: Path) -> Path:
        from vae_tf import plots  # imported here because it loads matplotlib

        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        with atomic_write(target) as partial:
            plots.save(figure, partial)
        return target
