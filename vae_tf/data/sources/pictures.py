"""A tree or a list of picture files, decoded as they are needed."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Self

import numpy as np
from PIL import Image, ImageOps

from vae_tf.errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
NAMED_IN_WARNING = 3
ORIENTATION_TAG, TURNED_ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
# What Pillow raises for a file it can't read.
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class PictureExamples:
    """Picture files as an indexed collection; see `Examples`.

    Args:
        paths: The files; each must open (see `readable`).
        image_shape: `(height, width, channels)` to which each picture is brought.
        labels: `(N,)` class numbers, or `None`.
    """

    scale = 255.0
    dtype = np.dtype(np.uint8)

    def __init__(self, paths: list[Path], image_shape: tuple[int, int, int], labels: np.ndarray | None = None) -> None:
        self._paths = paths
        self._image_shape = image_shape
        self.example_shape: tuple[int, ...] = image_shape
        self.labels = labels

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def names(self) -> list[str]:
        """The paths of the files."""
        return [str(path) for path in self._paths]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the pictures at `indices` `(B,)` as uint8 `(B, H, W, C)`.

        Raises:
            InputError: A file has vanished or changed since it was found to open.
        """
        return np.stack([self._picture(self._paths[index]) for index in indices])

    def _picture(self, path: Path) -> np.ndarray:
        try:
            return read_picture(path, self._image_shape)
        except UNREADABLE as error:
            raise InputError(f"{path} could be read at the start and now can't ({error}); restore it") from None

    def subset(self, indices: np.ndarray) -> Self:
        """Returns the collection of the pictures at `indices` `(B,)`, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        return type(self)([self._paths[index] for index in indices], self._image_shape, labels)


def read_picture(path: Path | IO[bytes], image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the first frame of a picture file as uint8 of `image_shape`.

    The picture is turned as its EXIF tag says, laid on white where it is transparent, and resized to the
    full target with an antialiased triangle filter; its aspect ratio is not kept.

    Args:
        path: A file of any format and mode that Pillow reads, or its path.
        image_shape: `(height, width, channels)`, channels 1 or 3.

    Raises:
        OSError, SyntaxError, ValueError, Image.DecompressionBombError: Pillow can't read the file.
    """
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    with Image.open(path) as image:
        if image.getexif().get(ORIENTATION_TAG) not in TURNED_ON_ITS_SIDE:
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 size, and needs the target's sides the right way round.
            image.draft(mode, (width, height))
        upright = _flat(ImageOps.exif_transpose(image)).convert(mode)
        pixels = np.asarray(upright.resize((width, height), Image.Resampling.BILINEAR))
    return pixels.reshape(image_shape)


def _flat(image: Image.Image) -> Image.Image:
    """The picture in 8 bits a channel and without transparency."""
    if image.mode.startswith(("I", "F")):
        # Pillow's own conversion cuts 16-bit values at 255 instead of scaling them.
        values = np.asarray(image, np.float64)
        return Image.fromarray((values / max(values.max(), 65535) * 255).astype(np.uint8))
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    return image


def find_pictures(folder: Path) -> list[Path]:
    """Returns the picture files below `folder`, sorted by path, hidden ones left out.

    Raises:
        InputError: The folder does not exist or can't be read, or holds no file with a picture's extension.
    """
    if not folder.is_dir():
        raise InputError(
            f"data_dir must be a folder of pictures or a .txt file that lists them. Received: {folder} (no such folder)"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"data_dir must be a readable folder. Received: {folder} (permission denied)")
    found: list[Path] = []
    visited: set[str] = set()  # links are followed, and may lead round in a circle
    for parent, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name) for name in names if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    if not found:
        raise InputError(f"data_dir must hold pictures ({', '.join(EXTENSIONS)}). Received: {folder} (none found)")
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise InputError(f"data_dir must be readable throughout. Received: {error.filename} ({error.strerror})")


def read_list(path: Path) -> list[Path]:
    """Returns the files that a text file names, sorted, each once; they need not be there.

    Args:
        path: The file: a path a line, absolute or relative to the file's folder. Blank lines and those that
            begin with `#` are left out.

    Raises:
        InputError: The file can't be read, is no UTF-8 text, or names nothing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors begin a file with the mark
    except OSError as error:
        raise InputError(f"data_dir must be a list that can be read. Received: {path} ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"data_dir must be a list in UTF-8. Received: {path} ({error})") from None
    if "\0" in text:
        raise InputError(f"data_dir must be a list of paths. Received: {path} (no text: it holds zero bytes)")
    lines = [line.strip() for line in text.split("\n")]
    named = {path.absolute().parent / line for line in lines if line and not line.startswith("#")}
    if not named:
        raise InputError(f"data_dir must be a list of at least one picture. Received: {path} (none named)")
    return sorted(named)


def readable(paths: list[Path], image_shape: tuple[int, int, int]) -> list[Path]:
    """Returns the files that open as pictures, after one warning that names and counts the others.

    Every file is decoded once, as training will do it: a truncated picture shows only then.
    """
    with ThreadPoolExecutor() as pool:
        opens = list(pool.map(lambda path: _opens(path, image_shape), paths))
    bad = [path for path, good in zip(paths, opens, strict=True) if not good]
    if bad and len(bad) < len(paths):
        names = ", ".join(str(path) for path in bad[:NAMED_IN_WARNING])
        more = f" and {len(bad) - NAMED_IN_WARNING} more" if len(bad) > NAMED_IN_WARNING else ""
        print(f"warning: skipped {len(bad)} of {len(paths)} files that do not open: {names}{more}", file=sys.stderr)
    return [path for path, good in zip(paths, opens, strict=True) if good]


def _opens(path: Path, image_shape: tuple[int, int, int]) -> bool:
    try:
        read_picture(path, image_shape)
    except UNREADABLE:
        return False
    return True
