"""Arrays that stay in their files: a few rows are read at a time."""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

LARGEST_IN_MEMORY = 48 * 2**20  # bytes of an array; the pictures of MNIST's train split just fit
BLOCK = 2**23


class StoredRows:
    """An array in a file, indexed by a slice or an array of rows like one of numpy.

    Rows are read, not mapped into memory: a map counts as memory of the process, whole megabytes for a touched row.

    Args:
        path: The file; its bytes must not change.
        dtype: Type of the values.
        shape: `(N, ...)`.
        offset: Where in the file the values begin, in bytes.
        axes: Order of the axes in which rows are delivered, the first being 0; default: as they are.
        folder: A temporary folder that holds the file and goes with the last array that needs it.
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
        """Size of the whole array."""
        return len(self) * self._row_bytes

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Returns the rows that an array of indices from 0 up, or a slice without a step, names.

        Raises:
            OSError: The file has vanished or is shorter than it was.
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
        """Returns pictures `(N, H, W)` as `(N, H, W, 1)`."""
        return StoredRows(self._path, self.dtype, (*self._stored_shape, 1), self._offset, folder=self._folder)


Rows = np.ndarray | StoredRows


def blocks(rows: Rows) -> Iterator[np.ndarray]:
    """Yields an array in parts of a few megabytes, in order."""
    size = max(1, BLOCK * len(rows) // max(1, rows.nbytes))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def unpacked(content: IO[bytes], dtype: np.dtype, shape: tuple[int, ...], *, is_fortran: bool = False) -> Rows:
    """Returns the array whose values are the next bytes of a stream, as a compressed file is one.

    Args:
        content: The stream.
        dtype: Type of the values.
        shape: Of the array.
        is_fortran: Whether the first index changes fastest, not the last.

    Returns:
        The array, in memory where it takes little of it, else in a temporary file that goes with the process.

    Raises:
        EOFError: The stream ends before.
        OSError: It is damaged, or there is no room in the temporary folder.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= LARGEST_IN_MEMORY:
        return np.frombuffer(_exactly(content, size), dtype).reshape(shape, order="F" if is_fortran else "C")
    if is_fortran:  # whose rows lie scattered
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
