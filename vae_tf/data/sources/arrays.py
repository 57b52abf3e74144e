"""Examples held in an array: from npz and npy files, IDX files, keras.datasets, scikit-learn."""

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Self

import numpy as np

from vae_tf.errors import InputError

IMAGE_RANKS = (3, 4)
# What numpy and zipfile raise for bytes that are not what they should be.
DAMAGED_ARRAY = (ValueError, EOFError, SyntaxError, tokenize.TokenError, MemoryError)
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError)


class ArrayExamples:
    """An array of pictures, or of rows of features, as an indexed collection; see `Examples`.

    Args:
        pixels: `(N, H, W)` or `(N, H, W, C)` with C 1 or 3, or rows `(N, F)`, of any real dtype.
        labels: `(N,)` class numbers, or `None`.
        scale: The number that stands for white.
        chosen: `(M,)` rows of `pixels` and `labels` that belong to the collection; default: all. The arrays
            themselves are shared, so that a split of a file mapped into memory stays on disk.
    """

    def __init__(
        self, pixels: np.ndarray, labels: np.ndarray | None, scale: float, chosen: np.ndarray | None = None
    ) -> None:
        self._pixels = with_channels(pixels)
        self._all_labels = labels
        self._chosen = np.arange(len(pixels)) if chosen is None else chosen
        self.labels = None if labels is None else labels[self._chosen]
        self.scale = scale
        self.dtype = np.dtype(np.uint8 if pixels.dtype == np.uint8 else np.float32)
        self.example_shape = self._pixels.shape[1:]

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def names(self) -> list[str]:
        """The rows in the array."""
        return [str(row) for row in self._chosen]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the pictures at `indices` `(B,)` as `(B, H, W, C)`, in [0, `scale`]; rows as `(B, F)`."""
        return self._pixels[self._chosen[indices]].astype(self.dtype, copy=False)

    def subset(self, indices: np.ndarray) -> Self:
        """Returns the collection of the pictures at `indices` `(B,)`, in that order."""
        return type(self)(self._pixels, self._all_labels, self.scale, self._chosen[indices])


def with_channels(pixels: np.ndarray) -> np.ndarray:
    """Returns pictures `(N, H, W)` as `(N, H, W, 1)`, others as they are."""
    return pixels[..., np.newaxis] if pixels.ndim == IMAGE_RANKS[0] else pixels


def checked_pixels(pixels: np.ndarray, name: str) -> np.ndarray:
    """Returns `pixels` as `(N, H, W, C)` if it is a usable array of pictures.

    Args:
        pixels: The array to check.
        name: What to call it in the message.

    Raises:
        InputError: Wrong rank, channels, size or dtype, no picture, or a value that is NaN or outside [0, 255].
    """
    if pixels.dtype.kind not in "buif":
        raise InputError(f"{name} must hold numbers. Received: dtype {pixels.dtype}")
    if pixels.ndim not in IMAGE_RANKS or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3)):
        raise InputError(
            f"{name} must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3). Received: shape {pixels.shape}"
        )
    if 0 in pixels.shape:
        raise InputError(f"{name} must hold at least one picture. Received: shape {pixels.shape}")
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 255):
        raise InputError(f"{name} must hold values in [0, 255] without NaN. Received: minimum {low}, maximum {high}")
    return with_channels(pixels)


def checked_labels(labels: np.ndarray | None, num_pictures: int, name: str) -> np.ndarray | None:
    """Returns `labels` `(N,)` or `(N, 1)` as int64 `(N,)`, `None` as it is.

    Raises:
        InputError: Not one whole, non-negative number for each of the `num_pictures`.
    """
    if labels is None:
        return None
    if labels.shape not in ((num_pictures,), (num_pictures, 1)):
        raise InputError(
            f"{name} must hold one label for each of {num_pictures} pictures. Received: shape {labels.shape}"
        )
    if labels.dtype.kind not in "bui":
        raise InputError(f"{name} must hold whole numbers. Received: dtype {labels.dtype}")
    if labels.min() < 0:
        raise InputError(f"{name} must hold class numbers from 0 up. Received: minimum {labels.min()}")
    return labels.reshape(-1).astype(np.int64)


def white_of(*arrays: np.ndarray) -> float:
    """Returns the number that stands for white: 1 where no value exceeds 1, else 255."""
    return 1.0 if max(array.max() for array in arrays) <= 1 else 255.0


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Returns those of the arrays called `names` that an npz file holds. Pickled objects are never loaded.

    Raises:
        InputError: The file can't be read or is no npz file, or an array is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            return {name: _member(archive, f"{name}.npy") for name in names if f"{name}.npy" in present}
    except OSError as error:
        raise InputError(f"data_dir must name a readable npz file. Received: {path} ({_reason(error)})") from None
    except (*DAMAGED_ARRAY, *DAMAGED_ZIP) as error:
        raise InputError(f"data_dir must name an undamaged npz file. Received: {path} ({_reason(error)})") from None


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def read_npy(path: Path) -> np.ndarray:
    """Returns the array in an npy file, mapped into memory rather than read.

    Raises:
        InputError: The file can't be read, is truncated, or is no npy file.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise InputError(f"data_dir must name a readable npy file. Received: {path} ({_reason(error)})") from None
    except DAMAGED_ARRAY as error:
        raise InputError(f"data_dir must name an undamaged npy file. Received: {path} ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or str(error)[:120]
