"""Image files from a folder tree or a list, decoded as needed."""

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

from vae_tf.data.sources.stored import StoredRows
from vae_tf.support.errors import InputError, printable

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
LARGEST_PIXELS = 2**26  # a small file can decode to more than fits in memory
LARGE_PIXELS = 2**22
NAMED_IN_WARNING = 3
AT_A_TIME = 256
SHOWN_AFTER = 1.0  # seconds
FORMAT = 1  # increase it whenever `read_image` returns something else for the same file
JPEG_END = b"\xff\xd9"
ORIENTATION_TAG, UPRIGHT, TURNED_ON_ITS_SIDE = 0x0112, 1, (5, 6, 7, 8)

T = TypeVar("T")

_decodes_large = threading.Lock()


class UnreadableError(Exception):
    """A file can't be decoded as an image, or the image is too large."""


class ImageFileExamples:
    """Image files as an indexed collection; see `Examples`.

    Args:
        paths: The files.
        image_shape: `(height, width, channels)` to which each image is converted.
        labels: `(M,)` class numbers of the chosen files, or `None`.
        chosen: `(M,)` indices of the files that belong to the collection, each of which must open; by default all.
            The paths themselves are shared.
        decoded: The decoded images of all `paths`, if they are cached (see `image_cache`).
    """

    scale = 255.0
    dtype = np.dtype(np.uint8)
    is_in_memory = False

    def __init__(
        self,
        paths: Sequence[str | Path],
        image_shape: tuple[int, int, int],
        labels: np.ndarray | None = None,
        chosen: np.ndarray | None = None,
        decoded: StoredRows | None = None,
    ) -> None:
        self._paths = paths
        self._image_shape = image_shape
        self._chosen = np.arange(len(paths)) if chosen is None else chosen
        self._decoded = decoded
        self.example_shape: tuple[int, ...] = image_shape
        self.labels = labels

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def names(self) -> list[str]:
        """The paths of the files."""
        return [str(self._paths[index]) for index in self._chosen.tolist()]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images at `indices` `(B,)` as uint8 `(B, H, W, C)`.

        Raises:
            InputError: A file has disappeared or changed since it was checked, or can't be decoded to its end.
        """
        rows = self._chosen[indices]
        if self._decoded is None:
            pictures = np.empty((len(rows), *self._image_shape), np.uint8)
            for place, row in enumerate(rows.tolist()):
                pictures[place] = self._picture(self._paths[row])
            return pictures
        try:
            return self._decoded[rows]
        except (OSError, ValueError) as error:
            raise InputError(f"The cache in cache_dir vanished or changed ({error}); run the command again") from None

    def _picture(self, path: str | Path) -> np.ndarray:
        try:
            return read_image(path, self._image_shape)
        except UnreadableError as error:
            raise InputError(
                f"{path} opened at the start and can't be decoded now ({error}); restore it, or take it out"
            ) from None

    def subset(self, indices: np.ndarray) -> Self:
        """Returns a collection of the images at `indices` `(B,)`, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return type(self)(self._paths, self._image_shape, labels, self._chosen[indices], self._decoded)

    def with_labels(self, labels: np.ndarray | None) -> Self:
        """Returns the same images with other labels, `(N,)`."""
        return type(self)(self._paths, self._image_shape, labels, self._chosen, self._decoded)


def read_image(path: str | Path | IO[bytes], image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the first frame of an image file as uint8 of `image_shape`.

    The image is rotated according to its EXIF tag, transparency becomes white, and the whole image is resized to the
    target with an antialiased triangle filter, without keeping its aspect ratio.

    Args:
        path: An open file or a path; the file has one of the `FORMATS`, whatever its name, and any colour mode.
        image_shape: `(height, width, channels)` with 1 or 3 channels.

    Raises:
        UnreadableError: The image can't be decoded, or has more than `LARGEST_PIXELS` pixels.
    """
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    with _opening(path) as image:
        if image.getexif().get(ORIENTATION_TAG) not in TURNED_ON_ITS_SIDE:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 size, but only if rotation will not swap the target's sides.
            image.draft(mode, (width, height))
        # Large images are decoded one at a time, as one per thread could fill the memory.
        with _decodes_large if math.prod(image.size) > LARGE_PIXELS else nullcontext():
            upright = _flat(ImageOps.exif_transpose(image)).convert(mode)
            pixels = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
    return pixels.reshape(image_shape)


@contextmanager
def _opening(path: str | Path | IO[bytes]) -> Iterator[Image.Image]:
    """Opens an image and checks its size; every error while it is in use becomes an `UnreadableError`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if math.prod(image.size) > LARGEST_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:  # Pillow raises it too, at a higher limit
        raise UnreadableError(f"it has more than {LARGEST_PIXELS:,} pixels") from None
    except Exception as error:  # Pillow raises many kinds of errors for bytes that are not an image
        raise UnreadableError(str(error) or type(error).__name__) from None


def _flat(image: Image.Image) -> Image.Image:
    """Returns the image with 8 bits per channel and without transparency."""
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit values at 255 instead of scaling them: 65535 is 255 * 257.
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    return image


def find_images(folder: Path) -> list[str]:
    """Returns the paths of the image files below `folder`, sorted folder by folder, without hidden ones.

    Raises:
        InputError: The folder does not exist, can't be read, or holds no file with an image extension.
    """
    if not folder.is_dir():
        raise InputError(
            f"data_dir must be a folder of pictures or a .txt file that lists them. Received: {folder} (no such folder)"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"data_dir must be a readable folder. Received: {folder} (permission denied)")
    found: list[str] = []  # strings, as a Path takes many times their memory
    visited: set[str] = set()  # links are followed, and may form a cycle
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            str(Path(parent, name)) for name in names if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    if not found:
        raise InputError(f"data_dir must hold pictures ({', '.join(EXTENSIONS)}). Received: {folder} (none found)")
    return sorted(found, key=_folder_by_folder)


def _folder_by_folder(path: str) -> str:
    """Returns a key that sorts paths part by part."""
    return os.path.normcase(path).replace(os.sep, "\0")


def _refuse(error: OSError) -> None:
    raise InputError(f"data_dir must be readable throughout. Received: {error.filename} ({error.strerror})")


def read_list(path: Path) -> list[str]:
    """Returns the paths that a text file lists, sorted and without duplicates; they need not exist.

    Args:
        path: The list: one path per line, absolute or relative to the list's folder. Blank lines and lines that begin
            with `#` are ignored.

    Raises:
        InputError: The list can't be read, is not UTF-8 text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors add a byte order mark
    except OSError as error:
        raise InputError(f"data_dir must be a list that can be read. Received: {path} ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"data_dir must be a list in UTF-8. Received: {path} ({error})") from None
    if "\0" in text:
        raise InputError(f"data_dir must be a list of paths. Received: {path} (no text: it holds zero bytes)")
    lines = [line.strip() for line in text.split("\n")]
    home = path.absolute().parent
    named = {str(home / line) for line in lines if line and not line.startswith("#")}
    if not named:
        raise InputError(f"data_dir must be a list of at least one picture. Received: {path} (none named)")
    return sorted(named, key=_folder_by_folder)


def opened(paths: Sequence[str | Path], image_shape: tuple[int, int, int]) -> ImageFileExamples:
    """Returns the files that open as images, after one warning that names and counts the others.

    For a JPEG it is enough that its header and its last bytes are valid. Other files, and JPEGs with another ending,
    are decoded as in training. Within a process, the same unchanged files are checked only once.
    """
    key = fingerprint(paths, image_shape)
    if key not in _found_to_open:
        opens = in_order(lambda path: _opens(path, image_shape), paths)
        _found_to_open[key] = np.fromiter(opens, bool, len(paths))
        warn_of_skipped(paths, _found_to_open[key])
    return ImageFileExamples(paths, image_shape, chosen=np.flatnonzero(_found_to_open[key]))


_found_to_open: dict[str, np.ndarray] = {}


def fingerprint(paths: Sequence[str | Path], image_shape: tuple[int, int, int]) -> str:
    """Returns a hash of the files' paths, sizes and modification times, and of the image shape."""
    digest = hashlib.sha256(f"{FORMAT} Pillow {PIL.__version__} {image_shape}".encode())
    real = functools.lru_cache(os.path.realpath)
    for path in paths:
        place = Path(path)
        try:
            found = place.stat()
            state = f"{found.st_size} {found.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(os.fsencode(f"{real(str(place.parent))}\0{place.name}\0{state}\0"))
    return digest.hexdigest()


def in_order(function: Callable[[str | Path], T], paths: Sequence[str | Path]) -> Iterator[T]:
    """Yields `function` of each path, in order, computed in threads; shows a progress bar if it takes long."""
    # Only a few are submitted at a time, as both pending and finished ones take memory.
    with (
        ThreadPoolExecutor() as pool,
        tqdm(
            total=len(paths),
            desc="Opening pictures",
            unit=" files",
            leave=False,
            delay=SHOWN_AFTER,
            disable=not sys.stdout.isatty(),
            file=sys.stdout,
        ) as bar,
    ):
        for start in range(0, len(paths), AT_A_TIME):
            yield from pool.map(function, paths[start : start + AT_A_TIME])
            bar.update(min(AT_A_TIME, len(paths) - start))


def warn_of_skipped(paths: Sequence[str | Path], opens: np.ndarray) -> None:
    """Prints one line that names and counts the files that do not open, if others do; `opens` is bool `(N,)`."""
    bad = np.flatnonzero(~opens).tolist()
    if 0 < len(bad) < len(paths):
        names = ", ".join(printable(str(paths[index])) for index in bad[:NAMED_IN_WARNING])
        more = f" and {len(bad) - NAMED_IN_WARNING} more" if len(bad) > NAMED_IN_WARNING else ""
        print(
            f"warning: skipped {len(bad)} of {len(paths)} files that do not open or have more than "
            f"{LARGEST_PIXELS:,} pixels: {names}{more}",
            file=sys.stderr,
        )


def _opens(path: str | Path, image_shape: tuple[int, int, int]) -> bool:
    try:
        # Only regular files: opening a pipe could block forever.
        return Path(path).is_file() and (_is_whole_jpeg(path) or read_image(path, image_shape) is not None)
    except (OSError, UnreadableError):
        return False


def _is_whole_jpeg(path: str | Path) -> bool:
    with Path(path).open("rb") as file, _opening(file) as image:
        is_upright = image.getexif().get(ORIENTATION_TAG, UPRIGHT) == UPRIGHT  # otherwise rotation can fail too
        file.seek(-len(JPEG_END), os.SEEK_END)
        return image.format == "JPEG" and is_upright and file.read() == JPEG_END
