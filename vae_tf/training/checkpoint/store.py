"""A folder of checkpoints. Each checkpoint is a folder of its own, either complete or absent.

The arrays are in a TensorFlow checkpoint, and the progress of training in a JSON file. `SHA256SUMS`, which is written
last, has the checksums of both, in the format of `sha256sum --check`.
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
from vae_tf.support.files import remove_partial, replacing

FORMAT = 1
CHECKSUMS = "SHA256SUMS"
PROGRESS = "progress.json"
VARIABLES = "variables"
STEP = "step_{:010}"
ANY_STEP = "step_*"


class Checkpoint(NamedTuple):
    """An undamaged checkpoint.

    Attributes:
        path: The checkpoint's folder.
        step: Number of steps done.
        progress: What else was saved.
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
        path: Folder of the checkpoints, created with the first one.
        keep: Number of checkpoints to keep.
    """

    def __init__(self, path: Path, keep: int = 2) -> None:
        self.path = path
        self._keep = keep

    def write(self, step: int, arrays: dict[str, np.ndarray], progress: dict[str, Any]) -> None:
        """Writes a checkpoint, and removes those that are too old or of a later step.

        Args:
            step: Number of steps done; an existing checkpoint of the same step is replaced.
            arrays: Arrays by name.
            progress: Anything else to save, which must be valid JSON.

        Raises:
            OSError: The disk is full, or the folder is gone.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # TensorFlow writes to a temporary folder, where writing is fast and not restricted; the target may be a mounted
        # drive, to which only whole files are copied.
        with tempfile.TemporaryDirectory() as folder:
            _write_arrays(Path(folder, VARIABLES), arrays)
            text = json.dumps({"format": FORMAT, "step": step, **progress})
            Path(folder, PROGRESS).write_text(text, encoding="utf-8")
            target = self._folder(step)
            with replacing(target) as partial:
                partial.mkdir()  # with the usual permissions; only their user may read temporary folders
                for path in Path(folder).iterdir():
                    shutil.copyfile(path, partial / path.name)
                (partial / CHECKSUMS).write_bytes(_lines(_checksums(Path(folder))))
                shutil.rmtree(target, ignore_errors=True)
        steps = self._steps()
        past = [other for other in steps if other <= step]
        for other in set(steps) - set(past[-self._keep :]):
            shutil.rmtree(self._folder(other), ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """Returns the newest undamaged checkpoint, and warns about newer ones that are damaged.

        Returns `None` if there are no checkpoints.

        Raises:
            InputError: The checkpoint is of another version of this package, or all checkpoints are damaged.
        """
        damaged: list[str] = []
        for step in reversed(self._steps()):
            path = self._folder(step)
            reason = _damage(path)
            if reason is None:
                for line in damaged:
                    print(f"warning: {line}; the one before is used", file=sys.stderr, flush=True)
                return _opened(path)
            damaged.append(f"checkpoint {path} is damaged ({reason})")
        if damaged:
            raise InputError(
                f"A run needs an undamaged checkpoint to go on. Received: {'; '.join(damaged)}; choose another "
                "run_dir, or add --overwrite"
            )
        return None

    def clear(self) -> None:
        """Removes all checkpoints, and what a process left behind that ended while writing."""
        for step in self._steps():
            shutil.rmtree(self._folder(step))
        self.remove_partial()

    def remove_partial(self) -> None:
        """Removes what a process left behind that ended while writing."""
        remove_partial(self.path)

    def _steps(self) -> list[int]:
        found = (path.name.partition("_")[2] for path in self.path.glob(ANY_STEP))
        return sorted(int(number) for number in found if number.isdecimal())

    def _folder(self, step: int) -> Path:
        return self.path / STEP.format(step)


def _write_arrays(prefix: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes what `tf.train.load_checkpoint` reads; `tf.train.Checkpoint` would need a variable per array."""
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


def _lines(checksums: dict[str, str]) -> bytes:
    return "".join(f"{checksum}  {name}\n" for name, checksum in checksums.items()).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damage(path: Path) -> str | None:
    """Returns what is wrong with a checkpoint, or `None`."""
    try:
        written = (path / CHECKSUMS).read_bytes()
        expected = {
            name: checksum for checksum, name in (line.split("  ", 1) for line in written.decode().splitlines())
        }
        if written != _lines(expected):
            return f"{CHECKSUMS} is cut off or changed"
        if expected.keys() | {CHECKSUMS} != {file.name for file in path.iterdir()} or PROGRESS not in expected:
            return "its files are not those it was written with"
        for name, checksum in expected.items():
            if _sha256(path / name) != checksum:
                return f"{name} is cut off or changed"
    except OSError as error:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    except ValueError:  # not text, or a line that is not a checksum and a name
        return f"{CHECKSUMS} is cut off or changed"
    return None


def _opened(path: Path) -> Checkpoint:
    progress = json.loads((path / PROGRESS).read_text(encoding="utf-8"))
    if progress.get("format") != FORMAT:
        raise InputError(
            f"A checkpoint must be of this version of vae_tf. Received: {path}; go on with the other version"
        )
    return Checkpoint(path, progress["step"], progress)
