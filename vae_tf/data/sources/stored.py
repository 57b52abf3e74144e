"""Arrays that stay in their files, from which a few rows are read at a time."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

LARGEST_IN_MEMORY = 48 * 2**20  # bytes of an array; MNIST's training images just fit
BLOCK = 2**23


class StoredRows:
    """An array in a file, which can be indexed like a NumPy array with a slice or an array of rows.

    Rows are read instead of mapped into memory: a map counts towards the memory of the process, with whole megabytes
    for each row that is touched.

    Args:
        path: The file; its content must not change.
        dtype: Type of the values.
        shape: `(N, ...)`.
        offset: Offset of the values in the file, in bytes.
        axes: Order of the axes in the rows that are returned, beginning with 0; by default the stored order.
        folder: A temporary folder that holds the file; it is removed with the last array that uses it.
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
            OSError: The file has disappeared or is shorter than it was.
        """
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            firsts, values = [start], np.empty((1, (stop - start) * self._row_bytes), np.uint8)
        else:
            firsts, values = rows.tolist(), np.empty((len(rows), self._row_bytes), np.uint8)
        with self._path.open("rb", buffering=0) as file:
            for first, piece in zip(firsts, values, strict=True):
                file.seek(self._offset + first * self._row_bytes)
                if file.readinto(piece.data) < piece.nbytes:
                    raise OSError(f"{self._path} is shorter than it was")
        return values.view(self.dtype).reshape(-1, *self._stored_shape[1:]).transpose(self._axes)

    def with_channels(self) -> "StoredRows":
        """Returns images `(N, H, W)` as `(N, H, W, 1)`."""
        return StoredRows(self._path, self.dtype, (*self._stored_shape, 1), self._offset, folder=self._folder)


Rows = np.ndarray | StoredRows


def blocks(rows: Rows) -> Iterator[np.ndarray]:
    """Yields an array in parts of a few megabytes, in order."""
    size = max(1, BLOCK * len(rows) // max(1, rows.nbytes))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def unpacked(content: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], *, is_fortran: bool = False) -> Rows:
    """Returns the array whose values are the next bytes of a stream, such as a compressed file.

    Args:
        content: The stream.
        dtype: Type of the values.
        shape: Shape of the array.
        is_fortran: Whether the first index changes fastest, instead of the last.

    Returns:
        The array: in memory if it is small, otherwise in a temporary file that does not outlive the process.

    Raises:
        EOFError: The stream ends too early.
        OSError: The stream is damaged, or the temporary folder is full.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= LARGEST_IN_MEMORY:
        return np.frombuffer(_exactly(content, size), dtype).reshape(shape, order="F" if is_fortran else "C")
    if is_fortran:  # the values of a row are scattered over the file
        with tempfile.TemporaryFile() as file:
            _copy(content, file, size)
            return np.memmap(file, dtype, "r", shape=shape, order="F")
    folder = tempfile.TemporaryDirectory(prefix="vae_tf-")
    path = Path(folder.name, "values")
    with path.open("wb") as file:
        _copy(content, file, size)
    return StoredRows(path, dtype, shape, folder=folder)


def _copy(content: IO[bytes], file: IO[bytes], size: int) -> None:
    for start in range(0, size, BLOCK):
        file.write(_exactly(content, min(BLOCK, size - start)))
    file.flush()


def _exactly(content: IO[bytes], size: int) -> bytes:
    values = content.read(size)
    if len(values) < size:
        raise EOFError(f"{size - len(values):,} bytes are missing")
    return values
