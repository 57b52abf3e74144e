"""Finds where a run stopped, and checks that it can resume: with the same options, on the same data."""

import json
import sys
import zlib
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path, PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vae_tf.backend.devices import uses_onednn
from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data.sources import ExampleSource
from vae_tf.runs.new_run import create_run_dir
from vae_tf.runs.run_dir import CHECKPOINTS, RunDir
from vae_tf.support.errors import InputError
from vae_tf.support.files import lock_folder
from vae_tf.support.onednn import ONEDNN_VARIABLE
from vae_tf.training.checkpoint.store import Checkpoint, CheckpointStore

if TYPE_CHECKING:
    from vae_tf.data.loading import Splits

# Options that may change when a run resumes.
CHANGEABLE_OPTIONS = {"data_dir", "device"}
MAX_LISTED = 5
MAX_CHECKED_EXAMPLES = 64


class ResumePoint:
    """The run folder and the checkpoint folder of a run, as a context manager that locks them against other processes.

    Args:
        run_dir: The run folder; it need not exist.
        options: The checkpoint options: where the checkpoints are, and whether to resume.
        config: The run's config, with all defaults filled in.
        splits: The run's data.
    """

    def __init__(self, run_dir: Path, options: CheckpointConfig, config: RunConfig, splits: "Splits") -> None:
        self.options = options
        self._run_dir = run_dir
        self._config = config
        self._splits = splits
        folder = run_dir / CHECKPOINTS if options.checkpoint_dir is None else Path(options.checkpoint_dir)
        self.store = CheckpointStore(folder, options.keep_checkpoints)
        self._locks = ExitStack()
        self._unlocked_folders = [run_dir] if options.checkpoint_dir is None else [run_dir, folder]
        self.is_finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks.close()

    @cached_property
    def description(self) -> dict[str, Any]:
        """The description of the run that is saved with its checkpoints, as JSON data."""
        checksums = {
            f"{name}_crc32": _checksum(examples)
            for name, examples in (("train", self._splits.train), ("test", self._splits.test))
        }
        data = {**asdict(self._splits.spec), **checksums}
        return {
            "config": self._config.model_dump(mode="json"),
            "data": json.loads(json.dumps(data)),
            "onednn": uses_onednn(),
        }

    def find(self, *, overwrite: bool) -> Checkpoint | None:
        """Returns the checkpoint to resume from, or `None` to start from the beginning.

        Sets `is_finished` if the run is already finished.

        Args:
            overwrite: Whether to start from the beginning regardless of what the folders contain.

        Raises:
            InputError: Another process has locked the folders, they contain a run with different options or data, or
                all its checkpoints are damaged.
        """
        self._lock([folder for folder in self._unlocked_folders if folder.exists()])
        self._overwrite = overwrite
        if overwrite:
            return None
        checkpoint = self.store.newest()
        if self.options.resume == "never":
            self._require_no_checkpoint(checkpoint)
            return None
        run = RunDir(self._run_dir)
        if run.is_started:
            self._check_options(run.read_config())
        if checkpoint is not None:
            self._check(checkpoint)
        elif run.is_started:
            self._check_without_checkpoint(run)
        return checkpoint

    def prepare(self, checkpoint: Checkpoint | None) -> RunDir:
        """Returns the run folder, prepared for a run that starts or resumes.

        Args:
            checkpoint: The result of `find`.

        Raises:
            InputError: The folder can't be created or written, or another process has locked it.
        """
        self._lock(self._unlocked_folders)
        if checkpoint is None:
            run = create_run_dir(self._run_dir, overwrite=self._overwrite)
            self.store.clear()
        else:
            run = RunDir(self._run_dir)
            run.remove_results()
            self.store.remove_partial_writes()
        run.write_config(self._config)
        run.write_skipped_files(self._splits.skipped)
        if self._config.conditional and self._splits.spec.class_names is not None:
            run.write_classes(self._splits.spec.class_names)
        return run

    def _lock(self, folders: list[Path]) -> None:
        for folder in folders:
            self._locks.enter_context(lock_folder(folder, "run_dir" if folder == self._run_dir else "checkpoint_dir"))
        self._unlocked_folders = [folder for folder in self._unlocked_folders if folder not in folders]

    def _require_no_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            raise InputError(
                f"checkpoint_dir must be new or empty. Received: {checkpoint.path.parent} with resume=never; choose "
                "another folder, or add --overwrite"
            )

    def _check_without_checkpoint(self, run: RunDir) -> None:
        """Handles a run without a checkpoint: marks it as finished or starts it over.

        Raises an error if it would have to be extended.
        """
        if run.is_finished and run.read_config().epochs < self._config.epochs:
            raise InputError(
                f"Extending a run needs its last checkpoint. Received: no checkpoint in {self.store.path}; choose "
                "another run_dir, or add --overwrite"
            )
        self.is_finished = run.is_finished
        self._overwrite = not run.is_finished  # it stopped before its first checkpoint

    def _check(self, checkpoint: Checkpoint) -> None:
        """Raises an error if the run can't resume from a checkpoint."""
        self._check_options(RunConfig(**RunConfig.merge(checkpoint.progress["config"], {})))
        saved, current = checkpoint.progress["data"], self.description["data"]
        if saved != current:
            key = next(key for key in current if saved.get(key) != current[key])
            raise InputError(
                f"A run must resume with the data it started with. Received: {self._run_dir} with "
                f"{key}={saved.get(key)} (now {current[key]}); restore the data, choose another run_dir, or add "
                "--overwrite"
            )
        self._warn_if_onednn_changed(checkpoint)
        run = RunDir(self._run_dir)
        # A callback may have stopped the run before its last epoch.
        self.is_finished = run.is_finished and run.read_config().epochs == self._config.epochs

    def _warn_if_onednn_changed(self, checkpoint: Checkpoint) -> None:
        before, now = checkpoint.progress.get("onednn"), uses_onednn()
        if before is not None and before != now:
            print(
                f"warning: the checkpoint was written with {ONEDNN_VARIABLE}={int(before)}, and training resumes with "
                f"{int(now)}: the results will not be bit-identical to those of an uninterrupted run",
                file=sys.stderr,
            )

    def _check_options(self, saved_config: RunConfig) -> None:
        """Raises an error if the options have changed; apart from `CHANGEABLE_OPTIONS`, only `epochs` may be raised."""
        saved, current = saved_config.model_dump(mode="json"), self._config.model_dump(mode="json")
        may_change = set(CHANGEABLE_OPTIONS)
        if current["epochs"] > saved["epochs"] and self._config.learning_rate_schedule == "constant":
            may_change.add("epochs")  # any other schedule depends on the total number of epochs
        changed = [
            f"{key}={saved.get(key)} (now {current.get(key)})"
            for key in {**current, **saved}
            if key not in may_change and saved.get(key) != current.get(key)
        ]
        if changed:
            raise InputError(
                f"A run must resume with the options it started with. Received: {self._run_dir} with "
                f"{', '.join(changed[:MAX_LISTED])}; use those options, choose another run_dir, or add --overwrite"
            )


def _checksum(examples: ExampleSource) -> int:
    """Returns a checksum of names, labels and values.

    If the examples are not in memory, it includes the values of only a few of them.
    """
    count = len(examples)
    num_checked = count if examples.is_in_memory else min(count, MAX_CHECKED_EXAMPLES)
    positions = np.linspace(0, count - 1, num_checked).astype(int)
    names = "\n".join(PurePath(name).name for name in examples.names)
    checksum = zlib.crc32(names.encode(errors=sys.getfilesystemencodeerrors()))
    if examples.labels is not None:
        checksum = zlib.crc32(examples.labels.tobytes(), checksum)
    return zlib.crc32(examples.read(positions).tobytes(), checksum)
