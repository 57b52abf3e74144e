"""The IDX format of MNIST and Fashion-MNIST, plain or gzipped.

Source: https://yann.lecun.com/exdb/mnist/ (file format section): two zero bytes, a type code, the number
of dimensions, each dimension as a big-endian uint32, then the values.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from vae_tf.errors import InputError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, rank: int) -> np.ndarray:
    """Returns the uint8 array in an IDX file.

    Args:
        path: The file; a name that ends in `.gz` is decompressed.
        rank: Number of dimensions expected: 3 for pictures, 1 for labels.

    Raises:
        InputError: The file can't be read, is no IDX file of bytes, has another rank, or another length than it says.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTE:
        raise InputError(f"{path} must be an IDX file of unsigned bytes. Received: it begins with {content[:4]!r}")
    if content[3] != rank:
        raise InputError(f"{path} must hold {rank} dimensions. Received: {content[3]}")
    header = 4 + 4 * rank
    if len(content) < header:
        raise InputError(f"{path} is truncated: its header needs {header} bytes. Received: {len(content)}")
    shape = struct.unpack(f">{rank}I", content[4:header])
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise InputError(
            f"{path} must have {expected:,} bytes for its shape {shape}. Received: {len(content):,}; copy it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} must be an undamaged gzip file ({error}); copy it again") from None
    except OSError as error:
        raise InputError(f"{path} must be readable ({error.strerror})") from None
