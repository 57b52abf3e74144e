"""Image files as an indexed collection.

All files are decoded when a collection is opened, at the requested size, into one file of pixels: in a folder for
caches, from which later runs read it, or in a temporary folder. So a file that can't be decoded is found at the start,
a file that changes later changes nothing, and an epoch reads a few kilobytes per image instead of decoding a file.

The file of pixels is named after the `fingerprint` of the image files. It contains the pixels of all images, then a
JSON list of the row numbers of unreadable files with the reasons, then a checksum. It is renamed into place only once
it is complete.
"""

import functools
import hashlib
import json
import math
import os
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import numpy as np
import PIL
from tqdm import tqdm

from vae_tf.config.data import Fit
from vae_tf.data.sources.images import CACHE_VERSION, UnreadableError, read_image
from vae_tf.data.sources.on_disk import BLOCK_BYTES, OnDiskArray
from vae_tf.support.errors import InputError, escape_unprintable
from vae_tf.support.files import atomic_write

CHECKSUM_BYTES = 4
CHUNK_SIZE = 256
MAX_NAMES_IN_WARNING = 3
MAX_REMEMBERED = 4  # collections that one command opens several times: train and test images, of two datasets
PROGRESS_BAR_DELAY = 1.0  # seconds

T = TypeVar("T")


class SkippedFile(NamedTuple):
    """A file that can't be read as an image, and the reason."""

    path: str
    reason: str


class _DecodedImages(NamedTuple):
    """The decoded images of a list of files `(N, H, W, C)`, and the reason for each row that can't be read."""

    pixels: OnDiskArray
    reasons: dict[int, str]


class ImageFileSource:
    """Image files as an indexed collection; see `ExampleSource`. `open_images` opens one.

    Args:
        paths: The files, N.
        pixels: The decoded images of all files, uint8 `(N, H, W, C)`.
        skipped: The files that can't be read.
        indices: `(M,)` indices into `paths` of the files in the collection. Subsets share the list of paths.
        labels: `(M,)` class indices of the files in the collection, or `None`.
    """

    scale = 255.0
    dtype = np.dtype(np.uint8)
    is_in_memory = False

    def __init__(
        self,
        paths: Sequence[str | Path],
        pixels: OnDiskArray,
        skipped: Sequence[SkippedFile],
        indices: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> None:
        self._paths = paths
        self._pixels = pixels
        self._indices = indices
        self.skipped = skipped
        self.example_shape = pixels.shape[1:]
        self.labels = labels

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def names(self) -> list[str]:
        """The paths of the files."""
        return [str(self._paths[index]) for index in self._indices.tolist()]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images at `indices` `(B,)` as uint8 `(B, H, W, C)`.

        Raises:
            InputError: The decoded images were removed or changed.
        """
        try:
            return self._pixels[self._indices[indices]]
        except (OSError, ValueError) as error:
            raise InputError(
                f"The decoded images in cache_dir or in the temporary folder were removed or changed ({error}); run "
                "the command again"
            ) from None

    def subset(self, indices: np.ndarray) -> Self:
        """Returns a collection of the images at `indices` `(B,)`, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return type(self)(self._paths, self._pixels, self.skipped, self._indices[indices], labels)

    def with_labels(self, labels: np.ndarray | None) -> Self:
        """Returns the same images with other labels, `(N,)`."""
        return type(self)(self._paths, self._pixels, self.skipped, self._indices, labels)


def open_images(
    paths: Sequence[str | Path],
    image_shape: tuple[int, int, int],
    fit: Fit = "stretch",
    cache_dir: Path | None = None,
) -> ImageFileSource:
    """Decodes image files, and returns those that can be read.

    Args:
        paths: The files.
        image_shape: `(height, width, channels)` to which each image is converted.
        fit: How images of another aspect ratio are resized to this shape; see `fit_image`.
        cache_dir: Folder for the decoded images, created if missing, from which they are read next time. Default: a
            temporary folder, which is removed when the images are no longer used.

    Raises:
        InputError: The folder is not writable, or the disk is full.
    """
    name = f"{fingerprint(paths, image_shape, fit)}.pixels"
    try:
        if cache_dir is None:
            pixels, reasons = _decode_into_temporary_folder(name, tuple(map(str, paths)), image_shape, fit)
        else:
            pixels, reasons = _open_cache(cache_dir / name, paths, image_shape, fit)
    except OSError as error:
        space = f"{len(paths) * math.prod(image_shape) / 1e6:,.0f} MB of free space"
        if cache_dir is None:
            raise InputError(
                f"The decoded images need a writable temporary folder with {space}. Received: {tempfile.gettempdir()} "
                f"({error.strerror}); set TMPDIR or --cache-dir to another folder"
            ) from None
        raise InputError(
            f"cache_dir must be a writable folder with {space}. Received: {cache_dir} ({error.strerror})"
        ) from None
    skipped = [SkippedFile(str(paths[row]), reason) for row, reason in reasons.items()]
    return ImageFileSource(paths, pixels, skipped, np.delete(np.arange(len(paths)), list(reasons)))


@functools.lru_cache(MAX_REMEMBERED)
def _decode_into_temporary_folder(
    name: str, paths: tuple[str, ...], image_shape: tuple[int, int, int], fit: Fit
) -> _DecodedImages:
    folder = tempfile.TemporaryDirectory(prefix="vae_tf-")
    return _open_cache(Path(folder.name, name), paths, image_shape, fit, folder)


def _open_cache(
    path: Path,
    paths: Sequence[str | Path],
    image_shape: tuple[int, int, int],
    fit: Fit,
    folder: tempfile.TemporaryDirectory[str] | None = None,
) -> _DecodedImages:
    """Returns the decoded images in a cache file, which is written if it is missing or damaged.

    Args:
        path: The cache file.
        paths: The image files.
        image_shape: `(height, width, channels)`.
        fit: See `open_images`.
        folder: The temporary folder that contains the cache file, if it must be removed with the images.
    """
    pixels = OnDiskArray(path, np.dtype(np.uint8), (len(paths), *image_shape), folder=folder)
    if not path.is_file() or not _is_intact(path, pixels.nbytes):
        _write_cache(path, paths, image_shape, fit)
    with path.open("rb") as file:
        file.seek(pixels.nbytes)
        return _DecodedImages(pixels, dict(json.loads(file.read()[:-CHECKSUM_BYTES])))


def _is_intact(path: Path, min_size: int) -> bool:
    """Returns whether a file ends with the checksum of what comes before it, which has at least `min_size` bytes."""
    size, checksum = path.stat().st_size - CHECKSUM_BYTES, 0
    if size <= min_size:
        return False
    with path.open("rb") as file:
        for start in range(0, size, BLOCK_BYTES):
            checksum = zlib.crc32(file.read(min(BLOCK_BYTES, size - start)), checksum)
        return file.read() == checksum.to_bytes(CHECKSUM_BYTES)


def _write_cache(target: Path, paths: Sequence[str | Path], image_shape: tuple[int, int, int], fit: Fit) -> None:
    """Decodes every image into the cache file, which is created atomically."""
    target.parent.mkdir(parents=True, exist_ok=True)
    blank = np.zeros(image_shape, np.uint8)
    reasons: list[tuple[int, str]] = []
    with atomic_write(target) as partial, partial.open("wb") as file:
        checksum = 0
        decoded = map_in_threads(lambda path: _try_read_image(path, image_shape, fit), paths, "Decoding images")
        for row, result in enumerate(decoded):
            if isinstance(result, str):
                reasons.append((row, result))
            content = (blank if isinstance(result, str) else result).tobytes()
            checksum = zlib.crc32(content, checksum)
            file.write(content)
        end = json.dumps(reasons).encode()
        file.write(end)
        file.write(zlib.crc32(end, checksum).to_bytes(CHECKSUM_BYTES))


def _try_read_image(path: str | Path, image_shape: tuple[int, int, int], fit: Fit) -> np.ndarray | str:
    """Returns the decoded image, or the reason why the file can't be read."""
    try:
        if not Path(path).is_file():  # opening a pipe could block forever
            return "not a file" if Path(path).exists() else "no such file"
        return read_image(path, image_shape, fit)
    except OSError as error:
        return error.strerror or str(error)
    except UnreadableError as error:
        return str(error)


def fingerprint(paths: Sequence[str | Path], image_shape: tuple[int, int, int], fit: Fit = "stretch") -> str:
    """Returns a hash of the files' paths, sizes and modification times, of the image shape, and of `fit`."""
    digest = hashlib.sha256(f"{CACHE_VERSION} Pillow {PIL.__version__} {image_shape} {fit}".encode())
    real = functools.lru_cache(os.path.realpath)
    for path in paths:
        file = Path(path)
        try:
            status = file.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(os.fsencode(f"{real(str(file.parent))}\0{file.name}\0{state}\0"))
    return digest.hexdigest()


def map_in_threads(function: Callable[[str | Path], T], paths: Sequence[str | Path], description: str) -> Iterator[T]:
    """Yields `function` of each path, in order, computed in threads; shows a progress bar if it takes a while."""
    # Only a few paths are submitted at a time, because both pending and finished results use memory.
    with (
        ThreadPoolExecutor() as pool,
        tqdm(
            total=len(paths),
            desc=description,
            unit=" files",
            leave=False,
            delay=PROGRESS_BAR_DELAY,
            disable=not sys.stdout.isatty(),
            file=sys.stdout,
        ) as bar,
    ):
        for start in range(0, len(paths), CHUNK_SIZE):
            yield from pool.map(function, paths[start : start + CHUNK_SIZE])
            bar.update(min(CHUNK_SIZE, len(paths) - start))


def warn_about_skipped(skipped: Sequence[SkippedFile], num_files: int) -> None:
    """Prints one warning about the files that can't be read, with the reasons of the first few.

    A process prints the same warning only once.

    Args:
        skipped: The files that can't be read.
        num_files: Number of all files.
    """
    if skipped:
        named = ", ".join(describe(file) for file in skipped[:MAX_NAMES_IN_WARNING])
        more = f" and {len(skipped) - MAX_NAMES_IN_WARNING} more" if len(skipped) > MAX_NAMES_IN_WARNING else ""
        _print_once(f"warning: skipped {len(skipped)} of {num_files} files: {named}{more}")


def describe(file: SkippedFile) -> str:
    """Returns the path and the reason in one line."""
    return escape_unprintable(f"{file.path} ({file.reason})")


@functools.cache
def _print_once(line: str) -> None:
    print(line, file=sys.stderr)
