"""Files and folders that are there whole or not at all, and folders that one process writes at a time."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vae_tf.support.errors import InputError

LOCK = ".lock"
PARTIAL = ".partial-"
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK)


@contextmanager
def locked(folder: Path, name: str = "run_dir") -> Iterator[None]:
    """Keeps other processes from a folder meanwhile; its end, of whatever kind, ends the lock.

    Args:
        folder: Made where it is missing.
        name: What the user calls it.

    Raises:
        InputError: Another process holds it, or the folder can't be written.
    """
    lock = FileLock(folder / LOCK, blocking=False, fallback_to_soft=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(
            f"A run is for one process at a time. Received: {folder}, which another one holds; let it end, or choose "
            "another folder"
        ) from None
    except NotImplementedError:
        pass  # a drive that knows no locks, as some mounted ones
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            reason = error.strerror or error
            raise InputError(f"{name} must be a folder that can be written. Received: {folder} ({reason})") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a path for a file or folder to write; on success it takes the target's place in one step, to stay there.

    A folder takes no place: whoever writes it removes the target first.
    """
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target.parent) as folder:
        partial = Path(folder) / target.name
        yield partial
        for path in (*partial.rglob("*"), partial):
            _flush(path)
        partial.replace(target)
    _flush(target.parent)


def remove_partial(folder: Path) -> None:
    """Removes what a process left that ended while it was `replacing` something in a folder."""
    for path in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    """Makes a file, or the entries of a folder, outlive a crash of the machine, where its file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOSYS):  # no such thing here; others are failures
            raise
    finally:
        os.close(descriptor)


def is_left_over(entry: Path) -> bool:
    """Returns whether an entry of a folder was left by a process that ended before it wrote anything else."""
    return entry.name == LOCK or entry.name.startswith(PARTIAL)
