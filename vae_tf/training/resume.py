"""Where a run is, and whether it goes on from there: only one of the same options on the same data does."""

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
from vae_tf.training.checkpoint.store import Checkpoint, Store

if TYPE_CHECKING:
    from vae_tf.data.catalog import Splits

# Where the data is and what computes may be others when a run goes on.
FREE = {"data_dir", "device"}
MOST_NAMED = 5
MOST_READ = 64


class Place:
    """The run folder and the folder of checkpoints of one run, as a context manager that keeps others out.

    Args:
        run_dir: The run folder, which may be missing.
        options: Where the checkpoints are, and whether to go on.
        config: What the run is to compute, resolved.
        splits: Its data.
    """

    def __init__(self, run_dir: Path, options: CheckpointConfig, config: RunConfig, splits: "Splits") -> None:
        self.options = options
        self._run_dir = run_dir
        self._config = config
        self._splits = splits
        folder = run_dir / CHECKPOINTS if options.checkpoint_dir is None else Path(options.checkpoint_dir)
        self.store = Store(folder, options.keep_checkpoints)
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
        """What a checkpoint tells of its run, as JSON holds it."""
        checksums = {
            f"{name}_crc32": _checksum(examples)
            for name, examples in (("train", self._splits.train), ("test", self._splits.test))
        }
        data = {**asdict(self._splits.spec), **checksums}
        return {"config": self._config.model_dump(mode="json"), "data": json.loads(json.dumps(data))}

    def find(self, *, overwrite: bool) -> Checkpoint | None:
        """Returns from where the run goes on, `None` where it begins; sets `is_finished` where nothing is left to do.

        Args:
            overwrite: Whether it is to begin whatever is there.

        Raises:
            InputError: Another process holds the folders. They hold a run with other options or other data, or all its
                checkpoints are damaged.
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
        if run.is_begun:
            self._check_same(run.read_config())
        if checkpoint is not None:
            self._check(checkpoint)
        elif run.is_begun:
            self._check_unsaved(run)
        return checkpoint

    def take(self, checkpoint: Checkpoint | None) -> RunDir:
        """Returns the run folder, made ready for a run that begins or goes on.

        Args:
            checkpoint: What `find` returned.

        Raises:
            InputError: The folder can't be made or written, or another process holds it.
        """
        self._lock(self._unlocked)
        if checkpoint is None:
            run = RunDir.create(self._run_dir, overwrite=self._replaces)
            self.store.clear()
        else:
            run = RunDir(self._run_dir)
            run.reopen()
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
        """Raises where the run of a folder without a checkpoint can't go on; it is done, or begins again."""
        if run.is_finished and run.read_config().epochs < self._config.epochs:
            raise InputError(
                f"A run goes on with more epochs from its last checkpoint. Received: none in {self.store.path}; choose "
                "another run_dir, or add --overwrite"
            )
        self.is_finished = run.is_finished
        self._replaces = not run.is_finished  # it ended before it was saved

    def _check(self, checkpoint: Checkpoint) -> None:
        """Raises where the run can't go on from a checkpoint."""
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
        """Raises where the run has other options: of those, more epochs alone are taken."""
        then, now = before.model_dump(mode="json"), self._config.model_dump(mode="json")
        free = set(FREE)
        if now["epochs"] > then["epochs"] and self._config.learning_rate_schedule == "constant":
            free.add("epochs")  # a schedule that ends with the epochs would have been another from the first step
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
    """Tells examples apart by their names, classes and values: all that are in memory, else some of each part."""
    count = len(examples)
    some = np.linspace(0, count - 1, count if examples.is_in_memory else min(count, MOST_READ)).astype(int)
    names = "\n".join(PurePath(name).name for name in examples.names)
    checksum = zlib.crc32(names.encode(errors="surrogateescape"))
    if examples.labels is not None:
        checksum = zlib.crc32(examples.labels.tobytes(), checksum)
    return zlib.crc32(examples.read(some).tobytes(), checksum)
