"""A folder of checkpoints. Each checkpoint is a subfolder, written atomically.

The arrays are in a TensorFlow checkpoint, and the progress of training in a JSON file. `SHA256SUMS`, which is written
last, contains the checksums of all files, in the format of `sha256sum --check`.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from vae_tf.support.errors import InputError
from vae_tf.support.files import atomic_write, remove_partial_writes

FORMAT_VERSION = 1
CHECKSUMS = "SHA256SUMS"
PROGRESS = "progress.json"
VARIABLES = "variables"
STEP = "step_{:010}"
ANY_STEP = "step_*"


class Checkpoint(NamedTuple):
    """A checkpoint whose checksums are correct.

    Attributes:
        path: The checkpoint's folder.
        step: Number of completed steps.
        progress: The progress of training: what was saved in addition to the arrays.
    """

    path: Path
    step: int
    progress: dict[str, Any]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by name."""
        reader = tf.train.load_checkpoint(str(self.path / VARIABLES))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


class CheckpointStore:
    """The checkpoints of a run.

    Args:
        path: Folder of the checkpoints, created with the first checkpoint.
        keep: Number of checkpoints to keep.
    """

    def __init__(self, path: Path, keep: int = 2) -> None:
        self.path = path
        self._keep = keep

    def write(self, step: int, arrays: dict[str, np.ndarray], progress: dict[str, Any]) -> None:
        """Writes a checkpoint, and removes checkpoints that are too old or from a later step.

        Args:
            step: Number of completed steps; an existing checkpoint of the same step is replaced.
            arrays: Arrays by name.
            progress: Anything else to save, as JSON data.

        Raises:
            OSError: The disk is full, or the folder no longer exists.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # TensorFlow writes to a local temporary folder, which is fast and supports all file operations; the target may
        # be a mounted drive, to which only whole files are copied.
        with tempfile.TemporaryDirectory() as folder:
            _write_arrays(Path(folder, VARIABLES), arrays)
            text = json.dumps({"format": FORMAT_VERSION, "step": step, **progress})
            Path(folder, PROGRESS).write_text(text, encoding="utf-8")
            target = self._folder(step)
            with atomic_write(target) as partial:
                partial.mkdir()  # with the usual permissions; a temporary folder is readable only by its owner
                for path in Path(folder).iterdir():
                    shutil.copyfile(path, partial / path.name)
                (partial / CHECKSUMS).write_bytes(_checksum_lines(_checksums(Path(folder))))
                shutil.rmtree(target, ignore_errors=True)
        steps = self._steps()
        earlier = [other for other in steps if other <= step]
        for other in set(steps) - set(earlier[-self._keep :]):
            shutil.rmtree(self._folder(other), ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """Returns the newest valid checkpoint, and warns about newer ones that are damaged.

        Returns `None` if there are no checkpoints.

        Raises:
            InputError: The checkpoint was written by another version of this package, or all checkpoints are damaged.
        """
        damaged: list[str] = []
        for step in reversed(self._steps()):
            path = self._folder(step)
            reason = _find_damage(path)
            if reason is None:
                for line in damaged:
                    print(f"warning: {line}; using the previous one", file=sys.stderr, flush=True)
                return _load(path)
            damaged.append(f"checkpoint {path} is damaged ({reason})")
        if damaged:
            raise InputError(
                f"A run needs a valid checkpoint to resume. Received: {'; '.join(damaged)}; choose another "
                "run_dir, or add --overwrite"
            )
        return None

    def clear(self) -> None:
        """Removes all checkpoints, and the leftovers of a process that was interrupted while writing."""
        for step in self._steps():
            shutil.rmtree(self._folder(step))
        self.remove_partial_writes()

    def remove_partial_writes(self) -> None:
        """Removes the leftovers of a process that was interrupted while writing."""
        remove_partial_writes(self.path)

    def _steps(self) -> list[int]:
        suffixes = (path.name.partition("_")[2] for path in self.path.glob(ANY_STEP))
        return sorted(int(suffix) for suffix in suffixes if suffix.isdecimal())

    def _folder(self, step: int) -> Path:
        return self.path / STEP.format(step)


def _write_arrays(prefix: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays for `tf.train.load_checkpoint`; `tf.train.Checkpoint` would need a variable for each array."""
    with tf.device("CPU:0"):
        tensors = [tf.constant(value) for value in arrays.values()]
        try:
            tf.raw_ops.SaveV2(
                prefix=str(prefix), tensor_names=list(arrays), shape_and_slices=[""] * len(arrays), tensors=tensors
            )
        except tf.errors.OpError as error:
            raise OSError(error.message) from None


def _checksums(folder: Path) -> dict[str, str]:
    return {path.name: _sha256(path) for path in sorted(folder.iterdir())}


def _checksum_lines(checksums: dict[str, str]) -> bytes:
    return "".join(f"{checksum}  {name}\n" for name, checksum in checksums.items()).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _find_damage(path: Path) -> str | None:
    """Returns how a checkpoint is damaged, or `None` if it is valid."""
    try:
        written = (path / CHECKSUMS).read_bytes()
        expected = {
            name: checksum for checksum, name in (line.split("  ", 1) for line in written.decode().splitlines())
        }
        if written != _checksum_lines(expected):
            return f"{CHECKSUMS} is truncated or changed"
        if expected.keys() | {CHECKSUMS} != {file.name for file in path.iterdir()} or PROGRESS not in expected:
            return "files are missing or were added"
        for name, checksum in expected.items():
            if _sha256(path / name) != checksum:
                return f"{name} is truncated or changed"
    except OSError as error:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    except ValueError:  # not text, or a line without a checksum and a name
        return f"{CHECKSUMS} is truncated or changed"
    return None


def _load(path: Path) -> Checkpoint:
    progress = json.loads((path / PROGRESS).read_text(encoding="utf-8"))
    if progress.get("format") != FORMAT_VERSION:
        raise InputError(
            f"The checkpoint was written by another version of vae_tf. Received: {path}; resume with the version that "
            "wrote it"
        )
    return Checkpoint(path, progress["step"], progress)
