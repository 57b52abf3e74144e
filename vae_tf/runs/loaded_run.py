"""A loaded run: its config, data, model and sampler, each loaded once."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vae_tf.config import RunConfig
from vae_tf.runs.history import Row
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError

if TYPE_CHECKING:
    from vae_tf.data.loading import Splits
    from vae_tf.model.sampler import Sampler
    from vae_tf.model.vae import VAE


class LoadedRun:
    """A finished run. Its config, data, model and sampler are loaded on first use and kept in memory.

    Args:
        folder: The run folder.
        ignore_sampler: Whether to sample from the prior even if the run has a sampler.
        trusted: Packages other than Keras and vae_tf whose classes the files may contain.
    """

    def __init__(self, folder: RunDir, *, ignore_sampler: bool = False, trusted: Sequence[str] = ()) -> None:
        self.folder = folder
        self._ignore_sampler = ignore_sampler
        self._trusted = trusted

    @classmethod
    def open(cls, path: Path, data_dir: str | None = None, *, ignore_sampler: bool = False) -> Self:
        """Returns the finished run in a folder.

        Args:
            path: The run folder.
            data_dir: Path to the data, if it has moved since training. Default: the path used in training.
            ignore_sampler: Whether to sample from the prior even if the run has a sampler.

        Raises:
            InputError: There is no run at `path`, or it is not finished.
        """
        folder = RunDir.open(path, data_dir)
        folder.check_finished()
        return cls(folder, ignore_sampler=ignore_sampler)

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def history(self) -> list[Row]:
        """The rows of `history.csv`, one per epoch."""
        return self.folder.read_history()

    @cached_property
    def config(self) -> RunConfig:
        """The run's config, with the current path to the data."""
        return self.folder.read_config()

    @cached_property
    def splits(self) -> "Splits":
        """The run's data."""
        from vae_tf.data.loading import load_splits

        return load_splits(self.config)

    @cached_property
    def model(self) -> "VAE":
        """The run's model; call `load_tensorflow` first."""
        return self.folder.load_model(self._trusted)

    @cached_property
    def sampler(self) -> "Sampler | None":
        """The sampler that replaces the prior; `None` to sample from the prior."""
        return None if self._ignore_sampler else self.folder.load_sampler(self._trusted)

    def check_compatible(self) -> None:
        """Raises an error if the current data does not match what the model was trained on.

        Raises:
            InputError: The shape of the examples has changed, or the classes of a conditional model.
        """
        model, spec = self.model, self.splits.spec
        if model.example_shape != spec.example_shape:
            raise InputError(
                f"model.keras and config.yml must match. Received: {self.folder.path} with examples of shape "
                f"{spec.example_shape} and a model for shape {model.example_shape}; train the model again"
            )
        if model.num_classes not in (None, spec.num_classes):
            raise InputError(
                f"The data must have the {model.num_classes} classes that the run was trained with. Received: "
                f"{spec.num_classes} classes; train the model again, or pass the original data with --data-dir"
            )
        class_names = self.folder.read_classes()
        if class_names is not None and class_names != spec.class_names:
            raise InputError(
                f"The data must have the classes that the run was trained with, {', '.join(class_names)}. "
                f"Received: {', '.join(spec.class_names or ['unnamed classes'])}; pass the original data with "
                "--data-dir"
            )


def load_run(folder: str | os.PathLike[str], data_dir: str | None = None, *, trusted: Sequence[str] = ()) -> LoadedRun:
    """Returns the run in a run folder: its config, history, data and model, each loaded on first use.

    Args:
        folder: The run folder, such as `runs/x`.
        data_dir: Path to the data, if it has moved since training. Default: the path used in training.
        trusted: Packages other than Keras and vae_tf whose classes the model may contain. Loading the model runs their
            code, so name only packages that you trust.

    Raises:
        InputError: The folder is not a run. Reading a property raises the same error if the file behind it is missing,
            damaged, or contains classes of other packages.

    Example:
        >>> run = vae_tf.load_run("runs/x")
        >>> images = run.model.sample(16, seed=0)
    """
    return LoadedRun(RunDir.open(Path(folder), data_dir), trusted=trusted)
