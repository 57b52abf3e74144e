"""Atomic writes of files and folders, and locks that let one process at a time write to a folder."""

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
    """Locks a folder against other processes; if this process dies, the lock is released.

    Args:
        folder: The folder; created if missing.
        name: What the user calls the folder, for the message.

    Raises:
        InputError: Another process holds the lock, or the folder is not writable.
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
        pass  # some mounted drives do not support locks
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
    """Yields a path to write a file or folder to; on success, flushes it to disk and moves it to the target at once.

    A file replaces an existing target. A folder does not: the caller has to remove the target first.
    """
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target.parent) as folder:
        partial = Path(folder) / target.name
        yield partial
        for path in (*partial.rglob("*"), partial):
            _flush(path)
        partial.replace(target)
    _flush(target.parent)


def remove_partial(folder: Path) -> None:
    """Removes the leftovers of processes that died while `replacing` something in a folder."""
    for path in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    """Flushes a file, or a folder's entries, to disk, so that it survives a crash, if the file system supports that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOSYS):  # fsync is not supported here
            raise
    finally:
        os.close(descriptor)


def is_left_over(entry: Path) -> bool:
    """Returns whether a folder entry is a leftover of a process that died before it wrote anything else."""
    return entry.name == LOCK or entry.name.startswith(PARTIAL)
