"""The binary files of STL-10; the images stay on disk.

Source: https://cs.stanford.edu/~acoates/stl10/ (binary files): all values are uint8; an image is stored as its red,
green and blue channels, each in column-major order; labels run from 1 to 10. The tests check the reader on small files
in this format, not on the dataset itself.
"""

import tarfile
from pathlib import Path

import numpy as np

from vae_tf.data.sources.arrays import ArraySource
from vae_tf.data.sources.on_disk import OnDiskArray
from vae_tf.support.errors import InputError
from vae_tf.support.files import atomic_write

IMAGE_SIZE, CHANNELS, NUM_CLASSES = 96, 3, 10
IMAGE_BYTES = CHANNELS * IMAGE_SIZE * IMAGE_SIZE
NUM_TRAIN, NUM_FOLDS = 5000, 10
UNLABELED = "unlabeled"
FOLDER = "stl10_binary"  # in the archive


def find_folder(path: Path) -> Path:
    """Returns the folder of the .bin files: `stl10_binary/` in `path` if it exists, otherwise `path`.

    Raises:
        InputError: `path` is not a folder.
    """
    if not path.is_dir():
        raise InputError(f"data_dir must be a folder with the files of stl10. Received: {path} (no such folder)")
    subfolder = path / FOLDER
    return subfolder if subfolder.is_dir() else path


def extract_archive(archive: Path) -> Path:
    """Extracts an archive into its own folder, unless that was done before, and returns the folder of the .bin files.

    The folder of the .bin files is created atomically.

    Raises:
        OSError, EOFError, tarfile.TarError: The archive is damaged, or the disk is full.
    """
    folder = archive.parent / FOLDER
    if folder.is_dir():
        return folder
    with atomic_write(folder) as partial, tarfile.open(archive) as content:
        content.extractall(partial.parent, filter="data")  # the archive contains the folder itself
    return folder


def read_split(folder: Path, split: str) -> ArraySource:
    """Returns the images and labels of one split of the dataset.

    Args:
        folder: Folder of the .bin files.
        split: `"train"`, `"test"` or `"unlabeled"`, which has no labels.

    Raises:
        InputError: A file is missing or damaged.
    """
    pixels = read_images(folder / f"{split}_X.bin")
    labels = None if split == UNLABELED else read_labels(folder / f"{split}_y.bin", len(pixels))
    return ArraySource(pixels, labels, 255.0)


def read_images(path: Path) -> OnDiskArray:
    """Returns the images in a file as uint8 `(N, 96, 96, 3)`.

    Raises:
        InputError: The file can't be read, or its size is not a multiple of the size of an image.
    """
    try:
        size = path.stat().st_size
        if size == 0 or size % IMAGE_BYTES:
            raise InputError(
                f"{path} must have a multiple of {IMAGE_BYTES:,} bytes (one image). "
                f"Received: {size:,} bytes; the file may be truncated, so download it again"
            )
        path.open("rb").close()
    except OSError as error:
        raise _make_unreadable_error(path, error) from None
    stored_shape = (size // IMAGE_BYTES, CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
    return OnDiskArray(path, np.dtype(np.uint8), stored_shape, axes=(0, 3, 2, 1))


def read_labels(path: Path, num_images: int) -> np.ndarray:
    """Returns the labels in a file, counted from 0, as int64 `(num_images,)`.

    Raises:
        InputError: The file can't be read, or does not contain one label from 1 to 10 for each image.
    """
    try:
        labels = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _make_unreadable_error(path, error) from None
    if len(labels) != num_images:
        raise InputError(
            f"{path} must contain one label for each of {num_images:,} images. Received: {len(labels):,} labels"
        )
    low, high = labels.min(), labels.max()
    if low < 1 or high > NUM_CLASSES:
        raise InputError(f"{path} must contain labels from 1 to {NUM_CLASSES}. Received: minimum {low}, maximum {high}")
    return labels.astype(np.int64) - 1


def read_folds(path: Path, num_images: int = NUM_TRAIN) -> list[np.ndarray]:
    """Returns the ten training folds of the dataset's official protocol, which trains one classifier per fold.

    Args:
        path: `fold_indices.txt`.
        num_images: Number of images in the train split.

    Returns:
        Ten int64 arrays `(M,)` of indices into the train split, counted from 0; `(1000,)` each in the original file.

    Raises:
        InputError: The file can't be read, or does not contain ten lines with the same number of indices.
    """
    try:
        lines = path.read_text(encoding="ascii").strip().splitlines()
        folds = np.array([line.split() for line in lines], np.int64)
    except OSError as error:
        raise _make_unreadable_error(path, error) from None
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{path} must contain the same number of integers on each line ({error}); download it again"
        ) from None
    if len(folds) != NUM_FOLDS:
        raise InputError(f"{path} must contain {NUM_FOLDS} lines. Received: {len(folds)} lines; download it again")
    if folds.min() < 0 or folds.max() >= num_images:
        raise InputError(
            f"{path} must contain indices from 0 to {num_images - 1:,}. "
            f"Received: minimum {folds.min()}, maximum {folds.max()}"
        )
    return list(folds)


def _make_unreadable_error(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} can't be read ({error.strerror}); set --data-dir to a folder with the files of stl10")
