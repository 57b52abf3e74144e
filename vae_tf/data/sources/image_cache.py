"""A cache of decoded images on disk, so that an epoch reads a few kilobytes per image instead of decoding a file.

A cache is one file, named after the images it was made from (`fingerprint`). It holds the pixels of all images, then
one byte per image that says whether it opened, then a checksum. It gets its name only when it is complete.
"""

import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_tf.data.sources.images import (
    ImageFileExamples,
    UnreadableError,
    fingerprint,
    in_order,
    read_image,
    warn_of_skipped,
)
from vae_tf.data.sources.stored import BLOCK, StoredRows
from vae_tf.support.errors import InputError

CHECKSUM_BYTES = 4


def cached(paths: Sequence[str | Path], image_shape: tuple[int, int, int], folder: Path) -> ImageFileExamples:
    """Returns the files that open as images, read from a cache, which is created if it is missing.

    Prints one warning that names and counts the files that do not open. A damaged cache is rebuilt.

    Args:
        paths: The files.
        image_shape: `(height, width, channels)` to which each image is converted.
        folder: Folder of the caches; created if missing.

    Raises:
        InputError: The folder is not writable, or the disk is full.
    """
    path = folder / f"{fingerprint(paths, image_shape)}.pixels"
    pixels = StoredRows(path, np.dtype(np.uint8), (len(paths), *image_shape))
    try:
        if not path.is_file() or not _is_whole(path, pixels.nbytes + len(paths)):
            _write(path, paths, image_shape)
        opens = np.fromfile(path, bool, len(paths), offset=pixels.nbytes)
    except OSError as error:
        raise InputError(
            f"cache_dir must be a folder with room for {pixels.nbytes / 1e6:,.0f} MB. "
            f"Received: {folder} ({error.strerror})"
        ) from None
    warn_of_skipped(paths, opens)
    return ImageFileExamples(paths, image_shape, chosen=np.flatnonzero(opens), decoded=pixels)


def _is_whole(path: Path, size: int) -> bool:
    """Returns whether a file holds `size` bytes and their checksum."""
    if path.stat().st_size != size + CHECKSUM_BYTES:
        return False
    checksum = 0
    with path.open("rb") as file:
        for start in range(0, size, BLOCK):
            checksum = zlib.crc32(file.read(min(BLOCK, size - start)), checksum)
        return file.read() == checksum.to_bytes(CHECKSUM_BYTES)


def _write(target: Path, paths: Sequence[str | Path], image_shape: tuple[int, int, int]) -> None:
    """Decodes every image into the cache file, which appears complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    empty = np.zeros(image_shape, np.uint8)
    opens = np.zeros(len(paths), bool)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial:
        new = Path(partial) / target.name
        with new.open("wb") as file:
            checksum = 0
            for index, pixels in enumerate(in_order(lambda path: _decoded(path, image_shape), paths)):
                opens[index] = pixels is not None
                content = (empty if pixels is None else pixels).tobytes()
                checksum = zlib.crc32(content, checksum)
                file.write(content)
            file.write(opens.tobytes())
            file.write(zlib.crc32(opens.tobytes(), checksum).to_bytes(CHECKSUM_BYTES))
            file.flush()
            os.fsync(file.fileno())  # otherwise a crash could leave a file with the right length but no content
        new.replace(target)


def _decoded(path: str | Path, image_shape: tuple[int, int, int]) -> np.ndarray | None:
    try:
        return read_image(path, image_shape)
    except UnreadableError:
        return None
