"""A run folder with what is in it: config, data and model, each loaded once."""

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
    """A finished run. What is asked for is loaded at its first use, and kept.

    Args:
        folder: Its folder.
        from_prior: Whether samples come from the prior although the run has a sampler.
        trusted: Packages besides Keras and vae_tf whose classes its files may hold.
    """

    def __init__(self, folder: RunDir, *, from_prior: bool = False, trusted: Sequence[str] = ()) -> None:
        self.folder = folder
        self._from_prior = from_prior
        self._trusted = trusted

    @classmethod
    def open(cls, path: Path, data_dir: str | None = None, *, from_prior: bool = False) -> Self:
        """Returns the finished run in a folder.

        Args:
            path: The folder.
            data_dir: Where the data is now, if not where the run found it.
            from_prior: As of the class.

        Raises:
            InputError: There is no run at `path`, or it is not finished.
        """
        folder = RunDir.open(path, data_dir)
        folder.check_finished()
        return cls(folder, from_prior=from_prior)

    @cached_property
    def config(self) -> RunConfig:
        """Its config, with the place where the data is now."""
        return self.folder.read_config()

    @cached_property
    def splits(self) -> "Splits":
        """Its data."""
        from vae_tf.data.catalog import load_splits

        return load_splits(self.config)

    @cached_property
    def model(self) -> "VAE":
        """Its model; call `load_tensorflow` first."""
        return self.folder.load_model(self._trusted)

    @cached_property
    def sampler(self) -> "Sampler | None":
        """What draws its latents in place of the prior; `None` for the prior."""
        return None if self._from_prior else self.folder.load_sampler(self._trusted)

    def check_fits(self) -> None:
        """Raises an error if the model was trained on other data than there is now.

        Raises:
            InputError: The examples have another shape, or a conditional model knows other classes.
        """
        self.folder.check_fits(self.model, self.splits.spec)
