"""The IDX format of MNIST and Fashion-MNIST, plain or gzipped.

Source: https://yann.lecun.com/exdb/mnist/ (file format section): two zero bytes, a type code, the number
of dimensions, each dimension as a big-endian uint32, then the values.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from vae_tf.data.sources.stored import LARGEST_IN_MEMORY, Rows, StoredRows, unpacked
from vae_tf.support.errors import InputError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, rank: int) -> Rows:
    """Returns the uint8 array in an IDX file.

    A large array stays on disk: in the file, or in a temporary one if the file is gzipped.

    Args:
        path: The file; it is decompressed if its name ends in `.gz`.
        rank: Expected number of dimensions: 3 for images, 1 for labels.

    Raises:
        InputError: The file can't be read, is not an IDX file of bytes, or has an unexpected rank or length.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as content:
                return _packed(cast(IO[bytes], content), path, rank)
        with path.open("rb") as content:
            return _plain(content, path, rank)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} must be an undamaged gzip file ({error}); copy it again") from None
    except OSError as error:
        raise InputError(f"{path} must be readable ({error.strerror})") from None


def _plain(content: IO[bytes], path: Path, rank: int) -> Rows:
    shape = _shape(content, path, rank)
    begin, size = content.tell(), path.stat().st_size
    if size != begin + math.prod(shape):
        raise _wrong_length(path, begin + math.prod(shape), shape, f"{size:,}")
    rows = StoredRows(path, np.dtype(np.uint8), shape, begin)
    return unpacked(content, rows.dtype, shape) if rows.nbytes <= LARGEST_IN_MEMORY else rows


def _packed(content: IO[bytes], path: Path, rank: int) -> Rows:
    shape = _shape(content, path, rank)
    expected = content.tell() + math.prod(shape)
    rows = unpacked(content, np.dtype(np.uint8), shape)
    if content.read(1):  # reading past the end verifies the checksum
        raise _wrong_length(path, expected, shape, "more")
    return rows


def _wrong_length(path: Path, expected: int, shape: tuple[int, ...], received: str) -> InputError:
    return InputError(f"{path} must have {expected:,} bytes for its shape {shape}. Received: {received}; copy it again")


def _shape(content: IO[bytes], path: Path, rank: int) -> tuple[int, ...]:
    begin = content.read(4)
    if len(begin) < 4 or begin[:2] != b"\0\0" or begin[2] != UNSIGNED_BYTE:
        raise InputError(f"{path} must be an IDX file of unsigned bytes. Received: it begins with {begin!r}")
    if begin[3] != rank:
        raise InputError(f"{path} must hold {rank} dimensions. Received: {begin[3]}")
    sides = content.read(4 * rank)
    if len(sides) < 4 * rank:
        raise InputError(
            f"{path} is truncated: its header needs {4 + 4 * rank} bytes. Received: {len(begin) + len(sides)}"
        )
    shape = struct.unpack(f">{rank}I", sides)
    if 0 in shape:
        raise InputError(f"{path} must hold at least one value. Received: shape {shape}")
    return shape
