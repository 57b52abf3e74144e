"""Finds where a run stopped, and checks that it can resume: with the same options, on the same data."""

import json
import zlib
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path, PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data.pipeline import num_batches
from vae_tf.data.sources import Examples
from vae_tf.runs.run_dir import CHECKPOINTS, RunDir
from vae_tf.support.errors import InputError
from vae_tf.support.files import locked
from vae_tf.training.checkpoint.store import Checkpoint, CheckpointStore

if TYPE_CHECKING:
    from vae_tf.data.catalog import Splits

# The location of the data and the device may change when a run resumes.
FREE = {"data_dir", "device"}
MOST_NAMED = 5
MOST_READ = 64


class ResumePoint:
    """The run folder and the checkpoint folder of a run, as a context manager that locks other processes out.

    Args:
        run_dir: The run folder; it need not exist.
        options: Where the checkpoints are, and whether to resume.
        config: The run's config, resolved.
        splits: The run's data.
    """

    def __init__(self, run_dir: Path, options: CheckpointConfig, config: RunConfig, splits: "Splits") -> None:
        self.options = options
        self._run_dir = run_dir
        self._config = config
        self._splits = splits
        folder = run_dir / CHECKPOINTS if options.checkpoint_dir is None else Path(options.checkpoint_dir)
        self.store = CheckpointStore(folder, options.keep_checkpoints)
        self._held = ExitStack()
        self._unlocked = [run_dir] if options.checkpoint_dir is None else [run_dir, folder]
        self.is_finished = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    @cached_property
    def description(self) -> dict[str, Any]:
        """What a checkpoint says about its run, as JSON data."""
        checksums = {
            f"{name}_crc32": _checksum(examples)
            for name, examples in (("train", self._splits.train), ("test", self._splits.test))
        }
        data = {**asdict(self._splits.spec), **checksums}
        return {"config": self._config.model_dump(mode="json"), "data": json.loads(json.dumps(data))}

    def find(self, *, overwrite: bool) -> Checkpoint | None:
        """Returns the checkpoint to resume from, or `None` to start from the beginning.

        Sets `is_finished` if nothing is left to do.

        Args:
            overwrite: Whether to start from the beginning, whatever the folders contain.

        Raises:
            InputError: Another process has locked the folders, they contain a run with other options or other data, or
                all its checkpoints are damaged.
        """
        self._lock([folder for folder in self._unlocked if folder.exists()])
        self._replaces = overwrite
        if overwrite:
            return None
        checkpoint = self.store.newest()
        if self.options.resume == "never":
            self._refuse_any(checkpoint)
            return None
        run = RunDir(self._run_dir)
        if run.is_started:
            self._check_same(run.read_config())
        if checkpoint is not None:
            self._check(checkpoint)
        elif run.is_started:
            self._check_unsaved(run)
        return checkpoint

    def take(self, checkpoint: Checkpoint | None) -> RunDir:
        """Returns the run folder, prepared for a run that starts or resumes.

        Args:
            checkpoint: The result of `find`.

        Raises:
            InputError: The folder can't be created or written, or another process has locked it.
        """
        self._lock(self._unlocked)
        if checkpoint is None:
            run = RunDir.create(self._run_dir, overwrite=self._replaces)
            self.store.clear()
        else:
            run = RunDir(self._run_dir)
            run.remove_results()
            self.store.remove_partial()
        run.write_config(self._config)
        if self._config.conditional and self._splits.spec.class_names is not None:
            run.write_classes(self._splits.spec.class_names)
        return run

    def _lock(self, folders: list[Path]) -> None:
        for folder in folders:
            self._held.enter_context(locked(folder, "run_dir" if folder == self._run_dir else "checkpoint_dir"))
        self._unlocked = [folder for folder in self._unlocked if folder not in folders]

    def _refuse_any(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            raise InputError(
                f"checkpoint_dir must be new or empty. Received: {checkpoint.path.parent} with resume=never; choose "
                "another, or add --overwrite"
            )

    def _check_unsaved(self, run: RunDir) -> None:
        """Raises an error if a run without a checkpoint can't be resumed; otherwise it is finished, or starts again."""
        if run.is_finished and run.read_config().epochs < self._config.epochs:
            raise InputError(
                f"A run goes on with more epochs from its last checkpoint. Received: none in {self.store.path}; choose "
                "another run_dir, or add --overwrite"
            )
        self.is_finished = run.is_finished
        self._replaces = not run.is_finished  # it stopped before its first checkpoint

    def _check(self, checkpoint: Checkpoint) -> None:
        """Raises an error if the run can't resume from a checkpoint."""
        before = RunConfig(**checkpoint.progress["config"])
        self._check_same(before)
        found, wanted = checkpoint.progress["data"], self.description["data"]
        if found != wanted:
            key = next(key for key in wanted if found.get(key) != wanted[key])
            raise InputError(
                f"A run goes on with the data that it began with. Received: {self._run_dir} with "
                f"{key}={found.get(key)} (now {wanted[key]}); bring it back, choose another run_dir, or add --overwrite"
            )
        last = self._config.epochs * num_batches(self._splits.train, self._config.batch_size)
        self.is_finished = checkpoint.step == last and RunDir(self._run_dir).is_finished

    def _check_same(self, before: RunConfig) -> None:
        """Raises an error if the run has other options; the only change allowed is more epochs."""
        then, now = before.model_dump(mode="json"), self._config.model_dump(mode="json")
        free = set(FREE)
        if now["epochs"] > then["epochs"] and self._config.learning_rate_schedule == "constant":
            free.add("epochs")  # any other schedule would have been different from the first step
        changed = [
            f"{key}={then.get(key)} (now {now.get(key)})"
            for key in {**now, **then}
            if key not in free and then.get(key) != now.get(key)
        ]
        if changed:
            raise InputError(
                f"A run goes on with the options that it began with. Received: {self._run_dir} with "
                f"{', '.join(changed[:MOST_NAMED])}; take those, choose another run_dir, or add --overwrite"
            )


def _checksum(examples: Examples) -> int:
    """Returns a checksum of the names, the classes and the values; if not in memory, of a sample of the values."""
    count = len(examples)
    some = np.linspace(0, count - 1, count if examples.is_in_memory else min(count, MOST_READ)).astype(int)
    names = "\n".join(PurePath(name).name for name in examples.names)
    checksum = zlib.crc32(names.encode(errors="surrogateescape"))
    if examples.labels is not None:
        checksum = zlib.crc32(examples.labels.tobytes(), checksum)
    return zlib.crc32(examples.read(some).tobytes(), checksum)
