"""The IDX format of MNIST and Fashion-MNIST, uncompressed or gzipped.

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

from vae_tf.data.sources.on_disk import MAX_IN_MEMORY_BYTES, Array, OnDiskArray, read_array
from vae_tf.support.errors import InputError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, rank: int) -> Array:
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
                return _read_gzipped(cast(IO[bytes], content), path, rank)
        with path.open("rb") as content:
            return _read_uncompressed(content, path, rank)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is a damaged gzip file ({error}); download it again") from None
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); check that it exists and is readable") from None


def _read_uncompressed(content: IO[bytes], path: Path, rank: int) -> Array:
    shape = _read_shape(content, path, rank)
    offset, size = content.tell(), path.stat().st_size
    if size != offset + math.prod(shape):
        raise _make_length_error(path, offset + math.prod(shape), shape, f"{size:,} bytes")
    array = OnDiskArray(path, np.dtype(np.uint8), shape, offset)
    return read_array(content, array.dtype, shape) if array.nbytes <= MAX_IN_MEMORY_BYTES else array


def _read_gzipped(content: IO[bytes], path: Path, rank: int) -> Array:
    shape = _read_shape(content, path, rank)
    expected = content.tell() + math.prod(shape)
    array = read_array(content, np.dtype(np.uint8), shape)
    if content.read(1):  # gzip verifies the checksum at the end of the file
        raise _make_length_error(path, expected, shape, "a longer file")
    return array


def _make_length_error(path: Path, expected: int, shape: tuple[int, ...], received: str) -> InputError:
    return InputError(
        f"{path} must contain {expected:,} bytes for its shape {shape}. Received: {received}; download it again"
    )


def _read_shape(content: IO[bytes], path: Path, rank: int) -> tuple[int, ...]:
    magic = content.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE:
        raise InputError(f"{path} must be an IDX file of unsigned bytes. Received: a file that begins with {magic!r}")
    if magic[3] != rank:
        raise InputError(f"{path} must contain an array with {rank} dimensions. Received: {magic[3]} dimensions")
    dimensions = content.read(4 * rank)
    if len(dimensions) < 4 * rank:
        raise InputError(
            f"{path} must have a header of {4 + 4 * rank} bytes. Received: {len(magic) + len(dimensions)} bytes; "
            "download it again"
        )
    shape = struct.unpack(f">{rank}I", dimensions)
    if 0 in shape:
        raise InputError(f"{path} must contain at least one value. Received: shape {shape}")
    return shape
