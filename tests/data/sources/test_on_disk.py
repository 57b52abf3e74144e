import io

import numpy as np
import pytest

from vae_tf.data.sources import on_disk
from vae_tf.data.sources.on_disk import OnDiskArray, iter_blocks, read_array

VALUES = np.arange(120, dtype=np.uint16).reshape(10, 3, 4)


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "file").write_bytes(b"header" + VALUES.tobytes())
    return OnDiskArray(tmp_path / "file", VALUES.dtype, VALUES.shape, offset=6)


@pytest.mark.parametrize("chosen", [np.array([7, 0, 7]), slice(2, 5), slice(None)], ids=str)
def test_rows_are_those_of_the_array_and_lie_in_memory(rows, chosen):
    found = rows[chosen]

    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, VALUES[chosen])


def test_shape_type_and_size_are_those_of_the_array(rows):
    assert (len(rows), rows.ndim, rows.shape, rows.dtype, rows.nbytes) == (10, 3, (10, 3, 4), np.uint16, 240)


def test_a_channel_axis_is_added_to_images(rows):
    np.testing.assert_array_equal(rows.with_channels()[np.array([3])], VALUES[[3], ..., np.newaxis])


def test_axes_are_turned_after_reading(tmp_path):
    VALUES.tofile(tmp_path / "file")

    turned = OnDiskArray(tmp_path / "file", VALUES.dtype, VALUES.shape, axes=(0, 2, 1))

    assert turned.shape == (10, 4, 3)
    np.testing.assert_array_equal(turned[np.array([9, 1])], VALUES[[9, 1]].transpose(0, 2, 1))


def test_a_file_that_became_shorter_is_an_error(rows, tmp_path):
    (tmp_path / "file").write_bytes(b"header")

    with pytest.raises(OSError, match="was truncated"):
        rows[:]


@pytest.mark.parametrize("size", [1, 50, 10**6])
def test_blocks_are_the_whole_in_order(rows, monkeypatch, size):
    monkeypatch.setattr(on_disk, "BLOCK_BYTES", size)

    for whole in (rows, VALUES):
        parts = list(iter_blocks(whole))
        assert all(part.nbytes <= max(size, VALUES[0].nbytes) for part in parts)
        np.testing.assert_array_equal(np.concatenate(parts), VALUES)


@pytest.mark.parametrize("limit", [0, 240], ids=["large", "small"])
def test_a_stream_is_unpacked_to_memory_or_to_a_file(monkeypatch, limit):
    monkeypatch.setattr(on_disk, "MAX_IN_MEMORY_BYTES", limit)
    monkeypatch.setattr(on_disk, "BLOCK_BYTES", 100)

    rows = read_array(io.BytesIO(VALUES.tobytes() + b"more"), VALUES.dtype, VALUES.shape)

    assert isinstance(rows, OnDiskArray) == (limit == 0)
    np.testing.assert_array_equal(rows[np.array([9, 0])], VALUES[[9, 0]])


@pytest.mark.parametrize("limit", [0, 240], ids=["large", "small"])
def test_a_stream_that_ends_early_is_an_error(monkeypatch, limit):
    monkeypatch.setattr(on_disk, "MAX_IN_MEMORY_BYTES", limit)

    with pytest.raises(EOFError, match="2 bytes are missing"):
        read_array(io.BytesIO(VALUES.tobytes()[:-2]), VALUES.dtype, VALUES.shape)


@pytest.mark.parametrize("limit", [0, 240], ids=["large", "small"])
def test_a_stream_in_fortran_order_is_the_same_array(monkeypatch, limit):
    monkeypatch.setattr(on_disk, "MAX_IN_MEMORY_BYTES", limit)

    rows = read_array(io.BytesIO(VALUES.tobytes(order="F")), VALUES.dtype, VALUES.shape, is_fortran=True)

    assert isinstance(rows, np.memmap) == (limit == 0)
    np.testing.assert_array_equal(rows[np.array([9, 0])], VALUES[[9, 0]])
