"""Arrays that stay in their files, and are read a few rows at a time."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

MAX_IN_MEMORY_BYTES = 48 * 2**20  # just above the size of MNIST's training images
BLOCK_BYTES = 2**23


class OnDiskArray:
    """An array in a file, which can be indexed along its first axis with a slice or an array of row indices.

    Rows are read, not mapped into memory, because memory-mapped pages count towards the memory of the process, up to
    megabytes for every row accessed.

    Args:
        path: The file; its content must not change.
        dtype: Data type of the values.
        shape: `(N, ...)`.
        offset: Offset of the values in the file, in bytes.
        axes: Order of the axes in the result of indexing, beginning with 0; by default the stored order.
        folder: A temporary folder that contains the file; it is deleted when the last array that uses it is
            garbage-collected.
    """

    def __init__(
        self,
        path: Path,
        dtype: np.dtype,
        shape: tuple[int, ...],
        offset: int = 0,
        axes: tuple[int, ...] | None = None,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self._path = path
        self._stored_shape = shape
        self._offset = offset
        self._axes = axes or tuple(range(len(shape)))
        self._folder = folder
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize
        self.dtype = dtype
        self.shape = tuple(shape[axis] for axis in self._axes)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the whole array in bytes."""
        return len(self) * self._row_bytes

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Returns the rows selected by an array of non-negative indices, or by a slice without a step.

        Raises:
            OSError: The file was removed or truncated.
        """
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            firsts, values = [start], np.empty((1, (stop - start) * self._row_bytes), np.uint8)
        else:
            firsts, values = rows.tolist(), np.empty((len(rows), self._row_bytes), np.uint8)
        with self._path.open("rb", buffering=0) as file:
            for first, buffer in zip(firsts, values, strict=True):
                file.seek(self._offset + first * self._row_bytes)
                if file.readinto(buffer.data) < buffer.nbytes:
                    raise OSError(f"{self._path} was truncated")
        return values.view(self.dtype).reshape(-1, *self._stored_shape[1:]).transpose(self._axes)

    def with_channels(self) -> "OnDiskArray":
        """Returns images `(N, H, W)` as `(N, H, W, 1)`."""
        return OnDiskArray(self._path, self.dtype, (*self._stored_shape, 1), self._offset, folder=self._folder)


Array = np.ndarray | OnDiskArray


def iter_blocks(array: Array) -> Iterator[np.ndarray]:
    """Yields an array in blocks of a few megabytes, in order."""
    size = max(1, BLOCK_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), size):
        yield array[start : start + size]


def read_array(stream: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], *, is_fortran: bool = False) -> Array:
    """Reads an array from the next bytes of a stream, such as a compressed file.

    Args:
        stream: The stream.
        dtype: Data type of the values.
        shape: Shape of the array.
        is_fortran: Whether the values are in Fortran order, in which the first index changes fastest.

    Returns:
        The array: in memory if it is small, otherwise in a temporary file that is removed when the process ends.

    Raises:
        EOFError: The stream ends too early.
        OSError: The stream is damaged, or the temporary folder is full.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= MAX_IN_MEMORY_BYTES:
        return np.frombuffer(_read_exactly(stream, size), dtype).reshape(shape, order="F" if is_fortran else "C")
    if is_fortran:  # the values of one row are scattered across the file
        with tempfile.TemporaryFile() as file:
            _copy(stream, file, size)
            return np.memmap(file, dtype, "r", shape=shape, order="F")
    folder = tempfile.TemporaryDirectory(prefix="vae_tf-")
    path = Path(folder.name, "values")
    with path.open("wb") as file:
        _copy(stream, file, size)
    return OnDiskArray(path, dtype, shape, folder=folder)


def _copy(stream: IO[bytes], file: IO[bytes], size: int) -> None:
    for start in range(0, size, BLOCK_BYTES):
        file.write(_read_exactly(stream, min(BLOCK_BYTES, size - start)))
    file.flush()


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    values = stream.read(size)
    if len(values) < size:
        raise EOFError(f"{size - len(values):,} bytes are missing")
    return values
