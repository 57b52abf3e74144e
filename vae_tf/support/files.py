"""Atomic writes of files and folders, and locks that allow only one process at a time to write to a folder."""

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from vae_tf.support.errors import InputError

LOCK = ".lock"
PARTIAL = ".partial-"
LOCKS_UNSUPPORTED = (errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK)
REPLACE_ATTEMPTS = 20
REPLACE_INTERVAL = 0.1  # seconds


@contextmanager
def lock_folder(folder: Path, name: str = "run_dir") -> Iterator[None]:
    """Locks a folder against other processes; the lock is released when this process ends, even if it is killed.

    Args:
        folder: The folder; created if missing.
        name: Name of the option that sets the folder, for the error message.

    Raises:
        InputError: Another process holds the lock, or the folder is not writable.
    """
    lock = FileLock(folder / LOCK, blocking=False, fallback_to_soft=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock)
    except Timeout:
        raise InputError(
            f"{folder} is locked by another process; wait for it to finish, or choose another folder"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{name} must be a writable folder. Received: {folder} ({reason})") from None
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock) -> None:
    """Acquires a lock, or does nothing if the drive does not support locks, as is the case for some mounted drives."""
    try:
        lock.acquire()
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in LOCKS_UNSUPPORTED:
            raise


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yields a path to write a file or folder to; on success, flushes it to disk and moves it to the target atomically.

    A file replaces an existing target. A folder does not: the caller has to remove the target first.
    """
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target.parent) as folder:
        partial = Path(folder) / target.name
        yield partial
        for path in (*partial.rglob("*"), partial):
            _flush(path)
        _replace(partial, target)
    _flush(target.parent)


def _replace(source: Path, target: Path) -> None:
    """Moves a file or folder to the target; on Windows, waits up to two seconds for other processes to close them.

    Windows does not move or replace files that are open, and a virus scanner opens every new file for a moment.
    """
    attempts = REPLACE_ATTEMPTS if sys.platform == "win32" else 1
    for remaining in reversed(range(attempts)):
        try:
            source.replace(target)
            return
        except PermissionError:
            if not remaining:
                raise
            time.sleep(REPLACE_INTERVAL)


def remove_partial_writes(folder: Path) -> None:
    """Removes the leftovers in a folder from processes that died during an `atomic_write`."""
    for path in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def _flush(path: Path) -> None:
    """Flushes a file, or a folder's entries, to disk, so that it survives a crash, if the file system supports that."""
    if sys.platform == "win32":
        if path.is_dir():  # Windows can't open folders
            return
        mode = os.O_RDWR  # Windows can't flush files that are open only for reading
    else:
        mode = os.O_RDONLY
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOSYS):  # fsync is not supported here
            raise
    finally:
        os.close(descriptor)


def is_leftover(entry: Path) -> bool:
    """Returns whether a folder entry is a lock or a partial write, left over from a process that died."""
    return entry.name == LOCK or entry.name.startswith(PARTIAL)
