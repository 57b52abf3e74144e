"""Examples in arrays, which come from npz, npy and IDX files, keras.datasets and scikit-learn."""

import io
import math
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Self

import numpy as np

from vae_tf.data.sources.on_disk import BLOCK_BYTES, MAX_IN_MEMORY_BYTES, Array, OnDiskArray, iter_blocks, read_array
from vae_tf.support.errors import InputError

IMAGE_RANKS = (3, 4)
NUM_CHANNELS = (1, 3, 4)  # of one image
ROUNDING_ERROR = 1 / 512  # half a grey level; floats in [0, 1] may exceed 1 by it
MAX_AMBIGUOUS = 2.0  # floats up to here are neither in [0, 1] nor plausible in [0, 255]
# The exceptions that numpy and zipfile raise for damaged files.
DAMAGED_ARRAY_ERRORS = (ValueError, TypeError, EOFError, SyntaxError, RecursionError, tokenize.TokenError, MemoryError)
MAX_HEADER_BYTES = 2**14  # of an npy file; numpy does not read longer headers
ZIP_LENGTHS_OFFSET = 26  # where a member's header stores the lengths of its name and its extra field
DAMAGED_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError)


class ArraySource:
    """An array of images, or of rows of features, as an indexed collection; see `ExampleSource`.

    Args:
        values: `(N, H, W)` or `(N, H, W, C)` with C 1 or 3, or rows `(N, F)`, of any real dtype.
        labels: `(N,)` class indices, or `None`.
        scale: Maximum pixel value; 1 for rows of features.
        indices: `(M,)` indices into `values` and `labels` of the examples in the collection; by default all. Subsets
            share the arrays, so that splitting an array in a file does not load it.
    """

    def __init__(
        self, values: Array, labels: np.ndarray | None, scale: float, indices: np.ndarray | None = None
    ) -> None:
        self._values = with_channels(values)
        self._all_labels = labels
        self._indices = np.arange(len(values)) if indices is None else indices
        self.labels = None if labels is None else labels[self._indices]
        self.scale = scale
        self.dtype = np.dtype(np.uint8 if values.dtype == np.uint8 else np.float32)
        self.example_shape = self._values.shape[1:]
        self.is_in_memory = isinstance(values, np.ndarray) and values.nbytes <= MAX_IN_MEMORY_BYTES

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def names(self) -> list[str]:
        """The examples' row numbers in the array."""
        return [str(row) for row in self._indices]

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images at `indices` `(B,)` as `(B, H, W, C)`, in [0, `scale`]; rows as `(B, F)`.

        Raises:
            InputError: The file that contains them was removed or changed.
        """
        try:
            values = self._values[self._indices[indices]].astype(self.dtype, copy=False)
        except (OSError, ValueError) as error:
            raise InputError(f"The data file was removed or changed while in use ({error}); restore it") from None
        is_float_image = self._values.ndim == IMAGE_RANKS[-1] and self.dtype == np.float32
        return np.minimum(values, self.scale) if is_float_image else values  # see ROUNDING_ERROR

    def subset(self, indices: np.ndarray) -> Self:
        """Returns a collection of the examples at `indices` `(B,)`, in that order."""
        return type(self)(self._values, self._all_labels, self.scale, self._indices[indices])


def with_channels(pixels: Array) -> Array:
    """Returns images `(N, H, W)` as `(N, H, W, 1)`, and other arrays unchanged."""
    if pixels.ndim != IMAGE_RANKS[0]:
        return pixels
    return pixels.with_channels() if isinstance(pixels, OnDiskArray) else pixels[..., np.newaxis]


def check_pixels(pixels: Array, name: str) -> Array:
    """Returns `pixels` as `(N, H, W, C)`, after checking that it is a valid array of images.

    Args:
        pixels: The array to check.
        name: Name of the array in error messages.

    Raises:
        InputError: The rank, channels, size or dtype is wrong, the array is empty, or a value is NaN or outside
            [0, 255].
    """
    if pixels.dtype.kind not in "buif":
        raise InputError(f"{name} must contain numbers. Received: dtype {pixels.dtype}")
    if pixels.ndim == IMAGE_RANKS[0] and pixels.shape[-1] in NUM_CHANNELS:
        raise InputError(
            f"{name} must contain a set of images, of shape (N, H, W) or (N, H, W, C). Received: shape {pixels.shape}, "
            "which is one image; stack several along a new first axis"
        )
    if pixels.ndim not in IMAGE_RANKS or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3)):
        raise InputError(
            f"{name} must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3). Received: shape {pixels.shape}"
        )
    if 0 in pixels.shape:
        raise InputError(f"{name} must contain at least one image. Received: shape {pixels.shape}")
    if pixels.dtype != np.uint8:  # uint8 values are always in range
        low, high = (extreme([extreme(block) for block in iter_blocks(pixels)]) for extreme in (np.min, np.max))
        if not (low >= 0 and high <= 255):
            raise InputError(
                f"{name} must contain values in [0, 255] without NaN. Received: minimum {low}, maximum {high}"
            )
    return with_channels(pixels)


def check_labels(labels: np.ndarray | None, num_images: int, name: str) -> np.ndarray | None:
    """Returns `labels` of shape `(N,)` or `(N, 1)` as int64 `(N,)`; returns `None` if there are no labels.

    Raises:
        InputError: The labels are not one non-negative integer for each of `num_images` images.
    """
    if labels is None:
        return None
    if labels.shape not in ((num_images,), (num_images, 1)):
        raise InputError(
            f"{name} must contain one label for each of {num_images} images. Received: shape {labels.shape}"
        )
    if labels.dtype.kind not in "bui":
        raise InputError(f"{name} must contain integers. Received: dtype {labels.dtype}")
    if labels.min() < 0:
        raise InputError(f"{name} must contain non-negative class indices. Received: minimum {labels.min()}")
    return labels.reshape(-1).astype(np.int64)


def infer_pixel_scale(arrays: Mapping[str, Array]) -> float:
    """Returns the maximum pixel value of the format, for all arrays: 1 if no value exceeds 1, otherwise 255.

    Floats may exceed 1 by a rounding error.

    Args:
        arrays: The images of each split, keyed by their name in error messages.

    Raises:
        InputError: The arrays have different scales, or the maximum of floats fits neither.
    """
    maxima = {name: max(block.max() for block in iter_blocks(array)) for name, array in arrays.items()}
    for name, maximum in maxima.items():
        if arrays[name].dtype.kind == "f" and 1 + ROUNDING_ERROR < maximum <= MAX_AMBIGUOUS:
            raise InputError(
                f"{name} must contain values in [0, 1] or in [0, 255]. Received: maximum {maximum}; clip or rescale it"
            )
    scales = {name: 1.0 if maximum <= 1 + ROUNDING_ERROR else 255.0 for name, maximum in maxima.items() if maximum > 0}
    if len(set(scales.values())) > 1:
        received = " and ".join(f"{name} with maximum {maxima[name]}" for name in scales)
        raise InputError(
            f"All images must have the same scale, [0, 1] or [0, 255]. Received: {received}; rescale one of them"
        )
    return max(scales.values(), default=1.0)


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """Reads the arrays called `names` from an npz file, if it contains them; never loads pickled objects.

    Large arrays stay on disk: in the npz file if they are not compressed, otherwise in a temporary file.

    Raises:
        InputError: The file can't be read or is not an npz file, or an array is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            return {name: _read_member(path, archive, f"{name}.npy") for name in names if f"{name}.npy" in present}
    except OSError as error:
        raise InputError(f"data_dir must be a readable npz file. Received: {path} ({_get_reason(error)})") from None
    except (*DAMAGED_ARRAY_ERRORS, *DAMAGED_ZIP_ERRORS) as error:
        raise InputError(f"data_dir must be a valid npz file. Received: {path} ({_get_reason(error)})") from None


def _read_member(path: Path, archive: zipfile.ZipFile, name: str) -> Array:
    info = archive.getinfo(name)
    with archive.open(info) as file:
        shape, is_fortran, dtype, offset = _read_header(file, info.file_size)
    size = info.file_size - offset
    with archive.open(info) as file:
        file.read(offset)
        if size <= MAX_IN_MEMORY_BYTES or is_fortran or info.compress_type != zipfile.ZIP_STORED:
            return read_array(file, dtype, shape, is_fortran=is_fortran)
        while file.read(BLOCK_BYTES):  # zipfile verifies the checksum at the end of the member
            pass
        return OnDiskArray(path, dtype, shape, _find_data_offset(path, info) + offset)


def _read_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Returns the shape, whether the order is Fortran order, the dtype and the offset of the values in an npy stream.

    Checks that the `size` of the stream in bytes matches the shape before any memory is allocated for the values.
    """
    content = io.BytesIO(file.read(MAX_HEADER_BYTES))
    version = np.lib.format.read_magic(content)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(content)
    if dtype.hasobject or dtype.subdtype or not dtype.itemsize:
        raise ValueError(f"only numeric arrays are supported, not dtype {dtype}")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"invalid shape: {shape}")
    offset, num_bytes = content.tell(), math.prod(shape) * dtype.itemsize
    if offset + num_bytes != size:
        raise ValueError(f"expected {num_bytes:,} bytes for shape {shape}, found {size - offset:,}")
    if max(shape, default=0) > sys.maxsize:  # possible only if another dimension is 0
        raise ValueError(f"invalid shape: {shape}")
    return shape, is_fortran, dtype, offset


def _find_data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Returns the offset of a member's data in a zip file, which follows a header with two variable-length fields."""
    with path.open("rb") as file:
        file.seek(info.header_offset + ZIP_LENGTHS_OFFSET)
        return info.header_offset + ZIP_LENGTHS_OFFSET + 4 + sum(struct.unpack("<HH", file.read(4)))


def read_npy(path: Path) -> Array:
    """Returns the array in an npy file; a large one stays on disk.

    Raises:
        InputError: The file can't be read, is truncated, or is not an npy file.
    """
    try:
        with path.open("rb") as file:
            shape, is_fortran, dtype, offset = _read_header(file, path.stat().st_size)
            file.seek(offset)
            if not shape:  # a scalar, which has no rows
                return read_array(file, dtype, shape, is_fortran=is_fortran)
            array = OnDiskArray(path, dtype, shape, offset)
            if array.nbytes <= MAX_IN_MEMORY_BYTES:
                return read_array(file, dtype, shape, is_fortran=is_fortran)
            return np.memmap(path, dtype, "r", offset, shape, "F") if is_fortran else array
    except OSError as error:
        raise InputError(f"data_dir must be a readable npy file. Received: {path} ({_get_reason(error)})") from None
    except DAMAGED_ARRAY_ERRORS as error:
        raise InputError(f"data_dir must be a valid npy file. Received: {path} ({_get_reason(error)})") from None


def _get_reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or str(error)[:120] or type(error).__name__
