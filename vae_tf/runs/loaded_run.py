"""A loaded run: its config, data and model, each loaded once."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vae_tf.config import RunConfig
from vae_tf.runs.run_dir import RunDir

if TYPE_CHECKING:
    from vae_tf.data.catalog import Splits
    from vae_tf.model.sampler import Sampler
    from vae_tf.model.vae import VAE


class LoadedRun:
    """A finished run, whose parts are loaded on first use and kept.

    Args:
        folder: The run folder.
        from_prior: Whether to sample from the prior even if the run has a sampler.
        trusted: Packages other than Keras and vae_tf whose classes the files may contain.
    """

    def __init__(self, folder: RunDir, *, from_prior: bool = False, trusted: Sequence[str] = ()) -> None:
        self.folder = folder
        self._from_prior = from_prior
        self._trusted = trusted

    @classmethod
    def open(cls, path: Path, data_dir: str | None = None, *, from_prior: bool = False) -> Self:
        """Returns the finished run in a folder.

        Args:
            path: The run folder.
            data_dir: Where the data is now. Default: where the run found it.
            from_prior: Whether to sample from the prior even if the run has a sampler.

        Raises:
            InputError: There is no run at `path`, or it is not finished.
        """
        folder = RunDir.open(path, data_dir)
        folder.check_finished()
        return cls(folder, from_prior=from_prior)

    @cached_property
    def config(self) -> RunConfig:
        """The run's config, with the current location of the data."""
        return self.folder.read_config()

    @cached_property
    def splits(self) -> "Splits":
        """The run's data."""
        from vae_tf.data.catalog import load_splits

        return load_splits(self.config)

    @cached_property
    def model(self) -> "VAE":
        """The run's model; call `load_tensorflow` first."""
        return self.folder.load_model(self._trusted)

    @cached_property
    def sampler(self) -> "Sampler | None":
        """The sampler that draws latents instead of the prior; `None` to use the prior."""
        return None if self._from_prior else self.folder.load_sampler(self._trusted)

    def check_fits(self) -> None:
        """Raises an error if the model was trained on data that differs from the current data.

        Raises:
            InputError: The examples have another shape, or the classes of a conditional model have changed.
        """
        self.folder.check_fits(self.model, self.splits.spec)
