"""A cache of decoded images on disk, so that an epoch reads a few kilobytes per image instead of decoding a file.

A cache is one file, named after the `fingerprint` of the image files. It contains the pixels of all images, then one
byte per image (1 if it could be decoded), then a checksum. It is renamed into place only once it is complete.
"""

import os
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vae_tf.config.data import Fit
from vae_tf.data.sources.images import (
    ImageFileSource,
    UnreadableError,
    fingerprint,
    map_in_threads,
    read_image,
    warn_about_skipped,
)
from vae_tf.data.sources.on_disk import BLOCK_BYTES, OnDiskArray
from vae_tf.support.errors import InputError

CHECKSUM_BYTES = 4


def open_cached_images(
    paths: Sequence[str | Path], image_shape: tuple[int, int, int], folder: Path, fit: Fit = "stretch"
) -> ImageFileSource:
    """Returns the readable image files, read from a cache, which is created if it is missing.

    Prints one warning with the number of unreadable files and the names of the first few. Rebuilds a damaged cache.

    Args:
        paths: The files.
        image_shape: `(height, width, channels)` to which each image is converted.
        folder: Folder for caches, created if missing.
        fit: How images of another aspect ratio are brought to this shape; see `fit_image`.

    Raises:
        InputError: The folder is not writable, or the disk is full.
    """
    path = folder / f"{fingerprint(paths, image_shape, fit)}.pixels"
    pixels = OnDiskArray(path, np.dtype(np.uint8), (len(paths), *image_shape))
    try:
        if not path.is_file() or not _is_intact(path, pixels.nbytes + len(paths)):
            _write_cache(path, paths, image_shape, fit)
        is_readable = np.fromfile(path, bool, len(paths), offset=pixels.nbytes)
    except OSError as error:
        raise InputError(
            f"cache_dir must be a writable folder with {pixels.nbytes / 1e6:,.0f} MB of free space. "
            f"Received: {folder} ({error.strerror})"
        ) from None
    warn_about_skipped(paths, is_readable)
    return ImageFileSource(paths, image_shape, indices=np.flatnonzero(is_readable), decoded=pixels, fit=fit)


def _is_intact(path: Path, size: int) -> bool:
    """Returns whether a file contains `size` bytes and their correct checksum."""
    if path.stat().st_size != size + CHECKSUM_BYTES:
        return False
    checksum = 0
    with path.open("rb") as file:
        for start in range(0, size, BLOCK_BYTES):
            checksum = zlib.crc32(file.read(min(BLOCK_BYTES, size - start)), checksum)
        return file.read() == checksum.to_bytes(CHECKSUM_BYTES)


def _write_cache(target: Path, paths: Sequence[str | Path], image_shape: tuple[int, int, int], fit: Fit) -> None:
    """Decodes every image into the cache file, which is created atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    blank = np.zeros(image_shape, np.uint8)
    is_readable = np.zeros(len(paths), bool)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as partial:
        new = Path(partial) / target.name
        with new.open("wb") as file:
            checksum = 0
            decoded = map_in_threads(lambda path: _try_read_image(path, image_shape, fit), paths, "Caching images")
            for index, pixels in enumerate(decoded):
                is_readable[index] = pixels is not None
                content = (blank if pixels is None else pixels).tobytes()
                checksum = zlib.crc32(content, checksum)
                file.write(content)
            file.write(is_readable.tobytes())
            file.write(zlib.crc32(is_readable.tobytes(), checksum).to_bytes(CHECKSUM_BYTES))
            file.flush()
            os.fsync(file.fileno())  # without this, a crash could leave a file of the right length without content
        new.replace(target)


def _try_read_image(path: str | Path, image_shape: tuple[int, int, int], fit: Fit) -> np.ndarray | None:
    try:
        return read_image(path, image_shape, fit)
    except UnreadableError:
        return None
