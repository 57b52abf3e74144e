"""The binary files of STL-10; the images stay on disk.

Source: https://cs.stanford.edu/~acoates/stl10/ (binary files): packed uint8; an image is its red, green and blue
values, each in column-major order; labels run from 1 to 10. The tests check the reader on small files written in this
format, not on the dataset itself.
"""

import tarfile
import tempfile
from pathlib import Path

import numpy as np

from vae_tf.data.sources.arrays import ArrayExamples
from vae_tf.data.sources.stored import StoredRows
from vae_tf.support.errors import InputError

SIDE, CHANNELS, NUM_CLASSES = 96, 3, 10
PICTURE_BYTES = CHANNELS * SIDE * SIDE
NUM_TRAIN, NUM_FOLDS = 5000, 10
UNLABELED = "unlabeled"
FOLDER = "stl10_binary"  # in the archive


def find_folder(place: Path) -> Path:
    """Returns the folder of the .bin files: `stl10_binary/` in `place` if it exists, otherwise `place`.

    Raises:
        InputError: `place` is not a folder.
    """
    if not place.is_dir():
        raise InputError(f"data_dir must be a folder with the files of stl10. Received: {place} (no such folder)")
    unpacked = place / FOLDER
    return unpacked if unpacked.is_dir() else place


def unpack(archive: Path) -> Path:
    """Unpacks an archive next to itself, unless that has been done already, and returns the folder of the .bin files.

    The folder appears complete or not at all.

    Raises:
        OSError, EOFError, tarfile.TarError: The archive is damaged, or the disk is full.
    """
    folder = archive.parent / FOLDER
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=archive.parent) as partial, tarfile.open(archive) as content:
        content.extractall(partial, filter="data")
        (Path(partial) / FOLDER).rename(folder)
    return folder


def read_part(folder: Path, part: str) -> ArrayExamples:
    """Returns the images and labels of a part of the dataset.

    Args:
        folder: Folder of the .bin files.
        part: `"train"`, `"test"` or `"unlabeled"`, which has no labels.

    Raises:
        InputError: A file is missing or damaged.
    """
    pixels = read_images(folder / f"{part}_X.bin")
    labels = None if part == UNLABELED else read_labels(folder / f"{part}_y.bin", len(pixels))
    return ArrayExamples(pixels, labels, 255.0)


def read_images(path: Path) -> StoredRows:
    """Returns the images in a file as uint8 `(N, 96, 96, 3)`.

    Raises:
        InputError: The file can't be read, or does not hold a whole number of images.
    """
    try:
        size = path.stat().st_size
        if size == 0 or size % PICTURE_BYTES:
            raise InputError(
                f"{path} must hold whole pictures of {PICTURE_BYTES:,} bytes. Received: {size:,} bytes; copy it again"
            )
        path.open("rb").close()
    except OSError as error:
        raise _unreadable(path, error) from None
    columns = (size // PICTURE_BYTES, CHANNELS, SIDE, SIDE)
    return StoredRows(path, np.dtype(np.uint8), columns, axes=(0, 3, 2, 1))


def read_labels(path: Path, num_pictures: int) -> np.ndarray:
    """Returns the labels in a file, counted from 0, as int64 `(num_pictures,)`.

    Raises:
        InputError: The file can't be read, or does not hold one label from 1 to 10 for each image.
    """
    try:
        labels = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(labels) != num_pictures:
        raise InputError(
            f"{path} must hold one label for each of {num_pictures:,} pictures. Received: {len(labels):,} labels"
        )
    low, high = labels.min(), labels.max()
    if low < 1 or high > NUM_CLASSES:
        raise InputError(f"{path} must hold labels from 1 to {NUM_CLASSES}. Received: minimum {low}, maximum {high}")
    return labels.astype(np.int64) - 1


def read_folds(path: Path, num_pictures: int = NUM_TRAIN) -> list[np.ndarray]:
    """Returns the ten training folds of the dataset's official protocol, which trains one classifier per fold.

    Args:
        path: `fold_indices.txt`.
        num_pictures: Number of images in the train part.

    Returns:
        Ten int64 arrays `(M,)` of rows of the train part, counted from 0; in the original file, `(1000,)` each.

    Raises:
        InputError: The file can't be read, or does not hold ten lines with equally many rows.
    """
    try:
        lines = path.read_text(encoding="ascii").strip().splitlines()
        folds = np.array([line.split() for line in lines], np.int64)
    except OSError as error:
        raise _unreadable(path, error) from None
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path} must hold lines of equally many whole numbers ({error}); copy it again") from None
    if len(folds) != NUM_FOLDS:
        raise InputError(f"{path} must hold {NUM_FOLDS} lines. Received: {len(folds)}; copy it again")
    if folds.min() < 0 or folds.max() >= num_pictures:
        raise InputError(
            f"{path} must hold rows from 0 to {num_pictures - 1:,}. "
            f"Received: minimum {folds.min()}, maximum {folds.max()}"
        )
    return list(folds)


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} must be a readable file of stl10 ({error.strerror}); see --data-dir")
