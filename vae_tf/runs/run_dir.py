"""The run folder: only this module knows its file names. Files are replaced as a whole, never half-written."""

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from zipfile import BadZipFile

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.spec import DatasetSpec
from vae_tf.registry import TOY_DATASETS
from vae_tf.runs.model_file import load_keras_file, save_keras_file
from vae_tf.support.errors import InputError
from vae_tf.support.files import is_left_over, remove_partial, replacing

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
METRICS = "metrics.json"
PER_IMAGE = "per_image.npz"
REPORT = "report.html"
SAMPLER = "sampler.keras"
EVALUATION = (METRICS, PER_IMAGE, REPORT)
RESULTS = (MODEL, SAMPLER, CURVES, *EVALUATION)
METRICS_KEYS = (
    "dataset",
    "example_shape",
    "likelihood",
    "pictures_sha256",
    "settings",
    "metrics",
    "kl_per_dimension",
    "references",
)
_HISTORY_TYPES: dict[str, Any] = {"stage": str, "epoch": int}
EPOCH_FIGURES = "epoch_*.png"


Row = dict[str, Any]  # a row of history.csv: numbers by column, and the name of the stage if there are several


class RunDir:
    """A run folder.

    Args:
        path: The folder. `create` makes a new one; `open` opens an existing one, finished or not.
        data_dir: Where the images are now. Default: where the run found them.
    """

    def __init__(self, path: Path, data_dir: str | None = None) -> None:
        self.path = path
        self._data_dir = data_dir

    @classmethod
    def check_free(cls, path: Path, *, overwrite: bool) -> None:
        """Raises an error if `create` would refuse the folder, without touching anything.

        Raises:
            InputError: The path is a file, or a folder that is not empty and may not be replaced.
        """
        try:
            if path.exists() and not path.is_dir():
                raise InputError(f"run_dir must be a folder. Received: {path} (a file)")
            free = not path.exists() or all(is_left_over(entry) for entry in path.iterdir())
        except OSError as error:
            raise InputError(f"run_dir must be a folder that can be read. Received: {path} ({error})") from None
        if free:
            return
        if not overwrite:
            raise InputError(f"run_dir must be new or empty. Received: {path}; choose another, or add --overwrite")
        try:
            RunConfig.from_yaml(path / CONFIG)
        except InputError:
            raise InputError(
                f"--overwrite replaces run folders alone. Received: {path} (no {CONFIG} of a run)"
            ) from None

    @classmethod
    def check_usable(cls, path: Path, *, overwrite: bool, resume: bool) -> None:
        """Raises an error if a run can neither start nor resume in a folder, without touching anything.

        Args:
            path: The folder.
            overwrite: Whether an existing run may be replaced.
            resume: Whether an existing run may be resumed.

        Raises:
            InputError: The path is a file, or a folder that is not empty and may not be used.
        """
        try:
            may_go_on = resume and not overwrite and cls(path).is_started
        except OSError as error:
            raise InputError(f"run_dir must be a folder that can be read. Received: {path} ({error})") from None
        if not may_go_on:
            cls.check_free(path, overwrite=overwrite)

    @classmethod
    def create(cls, path: Path, *, overwrite: bool) -> Self:
        """Creates a run folder, or empties an existing one.

        An existing config stays in the folder until another is written.

        Args:
            path: Where to create the folder; it may exist if it is empty.
            overwrite: Whether to remove the files of an existing run.

        Raises:
            InputError: The folder can't be created or written, or contains something that may not be removed.
        """
        try:
            cls.check_free(path, overwrite=overwrite)
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path)
            run.remove_results()
            for name in (CLASSES, HISTORY):
                (path / name).unlink(missing_ok=True)
            shutil.rmtree(path / CHECKPOINTS, ignore_errors=True)
            for folder in (path / SAMPLES, path / RECONSTRUCTIONS):
                for picture in folder.glob(EPOCH_FIGURES):
                    picture.unlink()
        except OSError as error:
            raise InputError(f"run_dir must be a folder that can be written. Received: {path} ({error})") from None
        return run

    def remove_results(self) -> None:
        """Removes the files that a run writes at its end, and what an interrupted process left behind."""
        for name in RESULTS:
            (self.path / name).unlink(missing_ok=True)
        for folder in (self.path, self.path / SAMPLES, self.path / RECONSTRUCTIONS):
            remove_partial(folder)

    @classmethod
    def open(cls, path: Path, data_dir: str | None = None) -> Self:
        """Returns the run folder at `path`.

        Args:
            path: The folder.
            data_dir: Where the images are now. Default: where the run found them.

        Raises:
            InputError: There is no run at `path`.
        """
        try:
            there, is_run = path.exists(), (path / CONFIG).is_file()
        except OSError as error:
            raise InputError(f"run must be a run folder that can be read. Received: {path} ({error})") from None
        if not is_run:
            reason = f"no {CONFIG} in it" if there else "there is no such folder"
            raise InputError(f"run must be a run folder, as train writes it. Received: {path} ({reason})")
        return cls(path, data_dir)

    def write_config(self, config: RunConfig) -> None:
        """Writes `config.yml`."""
        with replacing(self.path / CONFIG) as partial:
            partial.write_text(config.to_yaml(), encoding="utf-8")

    def read_config(self) -> RunConfig:
        """Returns the config in `config.yml`, with the current location of the images.

        Raises:
            InputError: The file is damaged.
        """
        config = RunConfig.from_yaml(self.path / CONFIG)
        is_of_pictures = config.dataset not in TOY_DATASETS
        if is_of_pictures and (config.image_size is None or config.channels is None):
            raise InputError(f"{self.path / CONFIG} must be as train wrote it. Received: a file without image_size")
        return config if self._data_dir is None else config.model_copy(update={"data_dir": self._data_dir})

    def check_fits(self, model: "VAE", spec: DatasetSpec) -> None:
        """Raises an error if the run's model was trained on data that differs from the current data.

        Raises:
            InputError: The examples have another shape, or the classes of a conditional model have changed.
        """
        if model.example_shape != spec.example_shape:
            raise InputError(
                f"The model and config.yml of a run must agree. Received: {self.path} with examples of "
                f"{spec.example_shape} and a model for {model.example_shape}; train it again"
            )
        if model.num_classes not in (None, spec.num_classes):
            raise InputError(
                f"The data must have the {model.num_classes} classes that the run was trained with. "
                f"Received: {spec.num_classes} classes; train it again, or name the old data with --data-dir"
            )
        known = self.read_classes()
        if known is not None and known != spec.class_names:
            raise InputError(
                f"The data must have the classes that the run was trained with, {', '.join(known)}. "
                f"Received: {', '.join(spec.class_names or ['none with a name'])}; name the old data with --data-dir"
            )

    def write_classes(self, names: Sequence[str]) -> None:
        """Writes `classes.json`: the class names of a conditional run, in the order of the labels."""
        with replacing(self.path / CLASSES) as partial:
            partial.write_text(json.dumps(list(names)), encoding="utf-8")

    def read_classes(self) -> tuple[str, ...] | None:
        """Returns the names in `classes.json`, or `None` if the run's classes have no names.

        Raises:
            InputError: The file is damaged.
        """
        if not (self.path / CLASSES).exists():
            return None
        with _readable(self.path / CLASSES, "train") as path:
            return tuple(map(str, json.loads(path.read_text(encoding="utf-8"))))

    def write_history(self, history: Sequence[Row]) -> None:
        """Writes `history.csv`, one row per epoch; values that a row lacks are blank."""
        columns = dict.fromkeys(name for row in history for name in row)
        with replacing(self.path / HISTORY) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(history)

    def read_history(self) -> list[Row]:
        """Returns the rows of `history.csv`, without blank values.

        Raises:
            InputError: The file is missing or damaged.
        """
        with _readable(self.path / HISTORY, "train") as path, path.open(newline="", encoding="utf-8") as file:
            rows = [
                {name: _HISTORY_TYPES.get(name, float)(value) for name, value in row.items() if value != ""}
                for row in csv.DictReader(file)
            ]
            if not rows or "epoch" not in rows[0]:
                raise ValueError("no row")
            return rows

    @property
    def is_evaluated(self) -> bool:
        """Whether `metrics.json` exists."""
        return self.metrics_path.is_file()

    @property
    def metrics_path(self) -> Path:
        """Path of `metrics.json`, which exists once the run is evaluated."""
        return self.path / METRICS

    def write_metrics(self, metrics: dict[str, Any], per_image: dict[str, np.ndarray]) -> None:
        """Writes `metrics.json`, and the values per image `(N,)` behind its means to `per_image.npz`."""
        with replacing(self.path / PER_IMAGE) as partial:
            arrays: dict[str, Any] = per_image
            np.savez_compressed(partial, **arrays)
        with replacing(self.metrics_path) as partial:
            partial.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")

    @property
    def report_path(self) -> Path:
        """Path of `report.html`, which exists once the run is evaluated."""
        return self.path / REPORT

    def write_report(self, page: str) -> None:
        """Writes `report.html`."""
        with replacing(self.report_path) as partial:
            partial.write_text(page, encoding="utf-8")

    def read_metrics(self) -> dict[str, Any]:
        """Returns the contents of `metrics.json`.

        Raises:
            InputError: The file is damaged.
        """
        with _readable(self.metrics_path, "evaluate") as path:
            metrics = json.loads(path.read_text(encoding="utf-8"))
            return {key: metrics[key] for key in METRICS_KEYS}

    def read_per_image(self) -> dict[str, np.ndarray]:
        """Returns the values per image `(N,)` of each metric.

        Raises:
            InputError: The file is missing or damaged.
        """
        with _readable(self.path / PER_IMAGE, "evaluate") as path, np.load(path) as values:
            return dict(values)

    def save_epoch_figure(self, kind: str, figure: "Figure", epoch: int) -> Path:
        """Writes the `"samples"` or `"reconstructions"` figure of an epoch and returns its path."""
        return self._save(figure, Path(kind, _epoch_name(epoch)))

    def save_curves(self, figure: "Figure") -> Path:
        """Writes `curves.png` and returns its path."""
        return self._save(figure, Path(CURVES))

    def save_model(self, model: "VAE") -> Path:
        """Writes `model.keras` and returns its path."""
        target = self.path / MODEL
        with replacing(target) as partial:
            model.save(partial)
        return target

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
            raise InputError(f"run must be finished. Received: {self.path} (no {MODEL} in it); let its training end")

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

    def save_sampler(self, sampler: "Sampler") -> Path:
        """Writes `sampler.keras`, removes any evaluation made without it, and returns its path."""
        target = self.path / SAMPLER
        for name in EVALUATION:
            (self.path / name).unlink(missing_ok=True)
        with replacing(target) as partial:
            save_keras_file(sampler, partial)
        return target

    def load_sampler(self, trusted: Sequence[str] = ()) -> "Sampler | None":
        """Returns the sampler in `sampler.keras`, or `None` if there is none; see `load_model`."""
        return load_keras_file(self.path / SAMPLER, root=None, trusted=trusted) if self.has_sampler else None

    def _save(self, figure: "Figure", name: Path) -> Path:
        from vae_tf import plots  # imported here because it loads matplotlib

        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        with replacing(target) as partial:
            plots.save(figure, partial)
        return target


def load_run(folder: str | os.PathLike[str], trusted: Sequence[str] = ()) -> "VAE":
    """Returns the trained model of a run folder.

    Args:
        folder: The run folder, such as `runs/x`.
        trusted: Packages other than Keras and vae_tf whose classes the model may contain. Their code is run, so name
            only packages that you trust.

    Raises:
        InputError: The folder is not a run, or its model is missing, damaged, or contains classes of other packages.

    Example:
        >>> vae = vae_tf.load_run("runs/x")
        >>> images = vae.sample(16, seed=0)
    """
    return RunDir.open(Path(folder)).load_model(trusted)


def _epoch_name(epoch: int) -> str:
    return f"epoch_{epoch:04d}.png"


@contextmanager
def _readable(path: Path, command: str) -> Iterator[Path]:
    """Turns a reader's error about a damaged file into an `InputError` that names the command to run again."""
    try:
        yield path
    except (OSError, ValueError, TypeError, KeyError, BadZipFile):
        raise InputError(
            f"{path} must be as {command} wrote it. Received: a missing or damaged file; {command} again"
        ) from None
