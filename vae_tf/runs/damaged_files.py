"""Reports damaged files of a run in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

from vae_tf.support.errors import InputError


@contextmanager
def as_input_error(path: Path, command: str) -> Iterator[Path]:
    """Converts errors from reading a damaged file to an `InputError` that says which command to run again."""
    try:
        yield path
    except (OSError, ValueError, TypeError, KeyError, BadZipFile):
        raise InputError(f"{path} is missing or damaged; run {command} again") from None
