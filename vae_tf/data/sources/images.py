"""Image files as an indexed collection, decoded on demand."""

import functools
import hashlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Self, TypeVar

import numpy as np
import PIL
from PIL import Image, ImageOps
from tqdm import tqdm

from vae_tf.config.data import Fit
from vae_tf.data.fit import fit_image
from vae_tf.data.sources.on_disk import OnDiskArray
from vae_tf.support.errors import InputError, escape_unprintable

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 2**26  # a small file can decode to an image that does not fit in memory
LARGE_IMAGE_PIXELS = 2**22
MAX_NAMES_IN_WARNING = 3
CHUNK_SIZE = 256
PROGRESS_BAR_DELAY = 1.0  # seconds
CACHE_VERSION = 1  # increase it whenever `read_image` changes what it returns for a file
JPEG_END = b"\xff\xd9"
ORIENTATION_TAG, UPRIGHT, ROTATED_90 = 0x0112, 1, (5, 6, 7, 8)

T = TypeVar("T")

_large_image_lock = threading.Lock()


class UnreadableError(Exception):
    """A file can't be decoded as an image, or the image is too large."""


class ImageFileSource:
    """Image files as an indexed collection; see `ExampleSource`.

    Args:
        paths: The files.
        image_shape: `(height, width, channels)` to which each image is converted.
        labels: `(M,)` class indices of the files in the collection, or `None`.
        indices: `(M,)` indices into `paths` of the files in the collection, which must all be readable; by default all.
            Subsets share the list of paths.
        decoded: The decoded images of all `paths`, if they are cached (see `image_cache`).
        fit: How images of another aspect ratio are brought to this shape; see `fit_image`.
    """

    scale = 255.0
    dtype = np.dtype(np.uint8)
    is_in_memory = False

    def __init__(
        self,
        paths: Sequence[str | Path],
        image_shape: tuple[int, int, int],
        labels: np.ndarray | None = None,
        indices: np.ndarray | None = None,
        decoded: OnDiskArray | None = None,
        fit: Fit = "stretch",
    ) -> None:
        self._paths = paths
        self._image_shape = image_shape
        self._indices = np.arange(len(paths)) if indices is None else indices
        self._decoded = decoded
        self._fit: Fit = fit
        self.example_shape: tuple[int, ...] = image_shape
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
            InputError: A file was removed or changed since it was checked, or can't be fully decoded.
        """
        rows = self._indices[indices]
        if self._decoded is None:
            images = np.empty((len(rows), *self._image_shape), np.uint8)
            for image, row in zip(images, rows.tolist(), strict=True):
                image[...] = self._read_image(self._paths[row])
            return images
        try:
            return self._decoded[rows]
        except (OSError, ValueError) as error:
            raise InputError(
                f"The cache in cache_dir was removed or changed ({error}); run the command again"
            ) from None

    def _read_image(self, path: str | Path) -> np.ndarray:
        try:
            return read_image(path, self._image_shape, self._fit)
        except UnreadableError as error:
            raise InputError(f"{path} can no longer be decoded ({error}); restore or remove it") from None

    def subset(self, indices: np.ndarray) -> Self:
        """Returns a collection of the images at `indices` `(B,)`, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return type(self)(self._paths, self._image_shape, labels, self._indices[indices], self._decoded, self._fit)

    def with_labels(self, labels: np.ndarray | None) -> Self:
        """Returns the same images with other labels, `(N,)`."""
        return type(self)(self._paths, self._image_shape, labels, self._indices, self._decoded, self._fit)


def read_image(path: str | Path | IO[bytes], image_shape: tuple[int, int, int], fit: Fit = "stretch") -> np.ndarray:
    """Returns the first frame of an image file as uint8 of `image_shape`.

    The image is rotated according to its EXIF tag, transparency becomes white, and the image is resized with an
    antialiased triangle filter.

    Args:
        path: An open file or a path; the file must have one of the `FORMATS`, and may have any name and colour mode.
        image_shape: `(height, width, channels)` with 1 or 3 channels.
        fit: How an image of another aspect ratio is brought to this shape; see `fit_image`.

    Raises:
        UnreadableError: The image can't be decoded, or has more than `MAX_PIXELS` pixels.
    """
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    with _open_image(path) as image:
        if image.getexif().get(ORIENTATION_TAG) not in ROTATED_90:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 size, but only if rotation does not swap its height and width.
            image.draft(mode, (width, height))
        # Large images are decoded one at a time, because one per thread could exhaust the memory.
        with _large_image_lock if math.prod(image.size) > LARGE_IMAGE_PIXELS else nullcontext():
            upright = _to_8_bit_opaque(ImageOps.exif_transpose(image)).convert(mode)
            pixels = np.asarray(_resize(upright, (height, width), fit))
    return pixels.reshape(image_shape)


def _resize(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """Returns the image with `size` `(height, width)`."""
    place = fit_image((image.height, image.width), size, fit)
    box = (place.left, place.top, place.right, place.bottom)
    scaled = image.resize((place.width, place.height), Image.Resampling.BILINEAR, box)
    if (place.height, place.width) == size:
        return scaled
    result = Image.new(image.mode, size[::-1], "white")
    result.paste(scaled, (place.column, place.row))
    return result


@contextmanager
def _open_image(path: str | Path | IO[bytes]) -> Iterator[Image.Image]:
    """Opens an image and checks its size; turns every error in its body into an `UnreadableError`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if math.prod(image.size) > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:  # Pillow also raises it, at a higher limit
        raise UnreadableError(f"the image has more than {MAX_PIXELS:,} pixels") from None
    except Exception as error:  # Pillow raises many kinds of errors for bytes that are not an image
        raise UnreadableError(str(error) or type(error).__name__) from None


def _to_8_bit_opaque(image: Image.Image) -> Image.Image:
    """Returns the image with 8 bits per channel and without transparency."""
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit values at 255 instead of scaling them: 65535 is 255 * 257.
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    return image


def open_images(
    paths: Sequence[str | Path], image_shape: tuple[int, int, int], fit: Fit = "stretch"
) -> ImageFileSource:
    """Returns the readable image files, and prints one warning about the others.

    A JPEG counts as readable if its header and its last bytes are valid. Other files, and JPEGs with a different
    ending, are fully decoded. Within a process, unchanged files are checked only once.
    """
    key = fingerprint(paths, image_shape, fit)
    if key not in _readable_cache:
        is_readable = map_in_threads(lambda path: _is_readable(path, image_shape), paths, "Checking images")
        _readable_cache[key] = np.fromiter(is_readable, bool, len(paths))
        warn_about_skipped(paths, _readable_cache[key])
    return ImageFileSource(paths, image_shape, indices=np.flatnonzero(_readable_cache[key]), fit=fit)


_readable_cache: dict[str, np.ndarray] = {}


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


def warn_about_skipped(paths: Sequence[str | Path], is_readable: np.ndarray) -> None:
    """Prints one warning about the unreadable files, unless all are unreadable; `is_readable` is bool `(N,)`."""
    bad = np.flatnonzero(~is_readable).tolist()
    if 0 < len(bad) < len(paths):
        names = ", ".join(escape_unprintable(str(paths[index])) for index in bad[:MAX_NAMES_IN_WARNING])
        more = f" and {len(bad) - MAX_NAMES_IN_WARNING} more" if len(bad) > MAX_NAMES_IN_WARNING else ""
        print(
            f"warning: skipped {len(bad)} of {len(paths)} files that can't be opened or have more than "
            f"{MAX_PIXELS:,} pixels: {names}{more}",
            file=sys.stderr,
        )


def _is_readable(path: str | Path, image_shape: tuple[int, int, int]) -> bool:
    try:
        # Only regular files are opened, because opening a pipe could block forever.
        return Path(path).is_file() and (_is_complete_jpeg(path) or read_image(path, image_shape) is not None)
    except (OSError, UnreadableError):
        return False


def _is_complete_jpeg(path: str | Path) -> bool:
    with Path(path).open("rb") as file, _open_image(file) as image:
        is_upright = image.getexif().get(ORIENTATION_TAG, UPRIGHT) == UPRIGHT  # otherwise the rotation can fail as well
        file.seek(-len(JPEG_END), os.SEEK_END)
        return image.format == "JPEG" and is_upright and file.read() == JPEG_END
