"""Arrays that stay in their files: a few rows are read at a time."""

import math
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

LARGEST_IN_MEMORY = 48 * 2**20  # bytes of an array; the pictures of MNIST's train split just fit
BLOCK = 2**23


class StoredRows:
    """An array in a file, indexed by rows like a numpy array.

    The file is mapped into memory only while rows are read: pages of a lasting map would count as the process's own.

    Args:
        file: Its path, or an open binary file; the bytes must not change.
        dtype: Type of the values.
        shape: `(N, ...)`.
        offset: Where in the file the values begin, in bytes.
        axes: Order of the axes in which rows are delivered, the first being 0; default: as they are.
    """

    def __init__(
        self,
        file: Path | IO[bytes],
        dtype: np.dtype,
        shape: tuple[int, ...],
        offset: int = 0,
        axes: tuple[int, ...] | None = None,
    ) -> None:
        self._file = file
        self._stored_shape = shape
        self._offset = offset
        self._axes = axes or tuple(range(len(shape)))
        self.dtype = np.dtype(dtype)
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
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Returns the rows that an array of indices or a slice names, in memory.

        Raises:
            OSError, ValueError: The file has vanished or is shorter than it was.
        """
        mapped: np.ndarray = np.memmap(self._file, self.dtype, "r", self._offset, self._stored_shape)
        return np.array(mapped[rows]).transpose(self._axes)

    def with_channels(self) -> "StoredRows":
        """Returns pictures `(N, H, W)` as `(N, H, W, 1)`."""
        return StoredRows(self._file, self.dtype, (*self._stored_shape, 1), self._offset)


Rows = np.ndarray | StoredRows


def blocks(rows: Rows) -> Iterator[np.ndarray]:
    """Yields an array in parts of a few megabytes, in order."""
    size = max(1, BLOCK * len(rows) // max(1, rows.nbytes))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def unpacked(content: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> Rows:
    """Returns the array whose values are the next bytes of a stream, as a compressed file is one.

    Returns:
        The array, in memory where it takes little of it, else in a temporary file that goes with the process.

    Raises:
        EOFError: The stream ends before.
        OSError: It is damaged, or there is no room in the temporary folder.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= LARGEST_IN_MEMORY:
        return np.frombuffer(_exactly(content, size), dtype).reshape(shape)
    file = tempfile.TemporaryFile(prefix="vae_tf-")  # noqa: SIM115  # closed with the array
    for start in range(0, size, BLOCK):
        file.write(_exactly(content, min(BLOCK, size - start)))
    file.flush()
    rows = StoredRows(file, dtype, shape)
    weakref.finalize(rows, file.close)
    return rows


def _exactly(content: IO[bytes], size: int) -> bytes:
    values = content.read(size)
    if len(values) < size:
        raise EOFError(f"{size - len(values):,} bytes are missing")
    return values
