"""Examples in arrays: from npz, npy and IDX files, keras.datasets, and scikit-learn."""

import io
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Self

import numpy as np

from vae_tf.data.sources.stored import BLOCK, LARGEST_IN_MEMORY, Rows, StoredRows, blocks, unpacked
from vae_tf.support.errors import InputError

IMAGE_RANKS = (3, 4)
# The exceptions that numpy and zipfile raise for damaged files.
DAMAGED_ARRAY = (ValueError, TypeError, EOFError, SyntaxError, RecursionError, tokenize.TokenError, MemoryError)
LARGEST_HEADER = 2**14  # bytes of an npy file's header; numpy reads no longer one
ZIP_LENGTHS = 26  # offset, in a member's header, of the lengths of its name and its extra field
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError)


class ArrayExamples:
    """An array of images, or of rows of features, as an indexed collection; see `Examples`.

    Args:
        pixels: `(N, H, W)` or `(N, H, W, C)` with C 1 or 3, or rows `(N, F)`, of any real dtype.
        labels: `(N,)` class numbers, or `None`.
        scale: The value of white.
        chosen: `(M,)` rows of `pixels` and `labels` that belong to the collection; by default all. The arrays
            themselves are shared, so that splitting an array in a file does not load it.
    """

    def __init__(self, pixels: Rows, labels: np.ndarray | None, scale: float, chosen: np.ndarray | None = None) -> None:
        self._pixels = with_channels(pixels)
        self._all_labels = labels
        self._chosen = np.arange(len(pixels)) if chosen is None else chosen
        self.labels = None if labels is None else labels[self._chosen]
        self.scale = scale
        self.dtype = np.dtype(np.uint8 if pixels.dtype == np.uint8 else np.float32)
        self.example_shape = self._pixels.shape[1:]
        self.is_in_memory = isinstance(pixels, np.ndarray) and pixels.nbytes <= LARGEST_IN_MEMORY

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def names(self) -> list[str]:
        """The examples' rows in the array."""
        return [str(row) for row in self._chosen]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images at `indices` `(B,)` as `(B, H, W, C)`, in [0, `scale`]; rows as `(B, F)`.

        Raises:
            InputError: The file that holds them has disappeared or changed.
        """
        try:
            return self._pixels[self._chosen[indices]].astype(self.dtype, copy=False)
        except (OSError, ValueError) as error:
            raise InputError(f"The data could be read at the start and now can't ({error}); restore it") from None

    def subset(self, indices: np.ndarray) -> Self:
        """Returns a collection of the examples at `indices` `(B,)`, in that order."""
        return type(self)(self._pixels, self._all_labels, self.scale, self._chosen[indices])


def with_channels(pixels: Rows) -> Rows:
    """Returns images `(N, H, W)` as `(N, H, W, 1)`, and other arrays unchanged."""
    if pixels.ndim != IMAGE_RANKS[0]:
        return pixels
    return pixels.with_channels() if isinstance(pixels, StoredRows) else pixels[..., np.newaxis]


def checked_pixels(pixels: Rows, name: str) -> Rows:
    """Returns `pixels` as `(N, H, W, C)`, after checking that it is a usable array of images.

    Args:
        pixels: The array to check.
        name: Name of the array in messages.

    Raises:
        InputError: The rank, channels, size or dtype is wrong, there is no image, or a value is NaN or outside
            [0, 255].
    """
    if pixels.dtype.kind not in "buif":
        raise InputError(f"{name} must hold numbers. Received: dtype {pixels.dtype}")
    if pixels.ndim not in IMAGE_RANKS or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3)):
        raise InputError(
            f"{name} must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3). Received: shape {pixels.shape}"
        )
    if 0 in pixels.shape:
        raise InputError(f"{name} must hold at least one picture. Received: shape {pixels.shape}")
    if pixels.dtype != np.uint8:  # uint8 values are always in range
        low, high = (extreme([extreme(block) for block in blocks(pixels)]) for extreme in (np.min, np.max))
        if not (low >= 0 and high <= 255):
            raise InputError(
                f"{name} must hold values in [0, 255] without NaN. Received: minimum {low}, maximum {high}"
            )
    return with_channels(pixels)


def checked_labels(labels: np.ndarray | None, num_pictures: int, name: str) -> np.ndarray | None:
    """Returns `labels` `(N,)` or `(N, 1)` as int64 `(N,)`, and `None` as `None`.

    Raises:
        InputError: The labels are not one non-negative integer for each of `num_pictures` images.
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


def white_value(*arrays: Rows) -> float:
    """Returns the value of white: 1 if no value exceeds 1, otherwise 255."""
    return 1.0 if all(block.max() <= 1 for array in arrays for block in blocks(array)) else 255.0


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, Rows]:
    """Returns the arrays called `names` that an npz file holds; pickled objects are never loaded.

    Large arrays stay on disk: in the npz file if it is not compressed, otherwise in a temporary file.

    Raises:
        InputError: The file can't be read or is not an npz file, or an array is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            return {name: _member(path, archive, f"{name}.npy") for name in names if f"{name}.npy" in present}
    except OSError as error:
        raise InputError(f"data_dir must name a readable npz file. Received: {path} ({_reason(error)})") from None
    except (*DAMAGED_ARRAY, *DAMAGED_ZIP) as error:
        raise InputError(f"data_dir must name an undamaged npz file. Received: {path} ({_reason(error)})") from None


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Rows:
    info = archive.getinfo(name)
    with archive.open(info) as file:
        shape, is_fortran, dtype, begin = _header(file, info.file_size)
    size = info.file_size - begin
    with archive.open(info) as file:
        file.read(begin)
        if size <= LARGEST_IN_MEMORY or is_fortran or info.compress_type != zipfile.ZIP_STORED:
            return unpacked(file, dtype, shape, is_fortran=is_fortran)
        while file.read(BLOCK):  # reading to the end verifies the checksum
            pass
        return StoredRows(path, dtype, shape, _start(path, info) + begin)


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Returns shape, whether the order is Fortran's, dtype and offset of the values in an npy stream of `size` bytes.

    It checks that the number of values matches the shape before any memory is allocated for them.
    """
    content = io.BytesIO(file.read(LARGEST_HEADER))
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(content)
    if dtype.hasobject or dtype.subdtype or not dtype.itemsize:
        raise ValueError(f"Object arrays and such of no numbers are not read: {dtype}")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"no shape: {shape}")
    begin, num_bytes = content.tell(), math.prod(shape) * dtype.itemsize
    if begin + num_bytes != size:
        raise ValueError(f"shape {shape} needs {num_bytes:,} bytes, and there are {size - begin:,}")
    return shape, is_fortran, dtype, begin


def _start(path: Path, info: zipfile.ZipInfo) -> int:
    """Returns the offset of a member's bytes in a zip file: after its header, which has two variable-length fields."""
    with path.open("rb") as file:
        file.seek(info.header_offset + ZIP_LENGTHS)
        return info.header_offset + ZIP_LENGTHS + 4 + sum(struct.unpack("<HH", file.read(4)))


def read_npy(path: Path) -> Rows:
    """Returns the array in an npy file; a large one stays on disk.

    Raises:
        InputError: The file can't be read, is truncated, or is not an npy file.
    """
    try:
        with path.open("rb") as file:
            shape, is_fortran, dtype, begin = _header(file, path.stat().st_size)
            file.seek(begin)
            if not shape:  # a scalar, which has no rows
                return unpacked(file, dtype, shape, is_fortran=is_fortran)
            rows = StoredRows(path, dtype, shape, begin)
            if rows.nbytes <= LARGEST_IN_MEMORY:
                return unpacked(file, dtype, shape, is_fortran=is_fortran)
            return np.memmap(path, dtype, "r", begin, shape, "F") if is_fortran else rows
    except OSError as error:
        raise InputError(f"data_dir must name a readable npy file. Received: {path} ({_reason(error)})") from None
    except DAMAGED_ARRAY as error:
        raise InputError(f"data_dir must name an undamaged npy file. Received: {path} ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or str(error)[:120] or type(error).__name__
