import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from vae_tf.data.sources import idx, stored
from vae_tf.data.sources.idx import read_idx
from vae_tf.data.sources.stored import StoredRows
from vae_tf.support.errors import InputError

PIXELS = bytes(range(24))
PICTURES = struct.pack(">BBBBIII", 0, 0, 0x08, 3, 2, 3, 4) + PIXELS
LABELS = struct.pack(">BBBBI", 0, 0, 0x08, 1, 5) + bytes([9, 0, 3, 3, 1])


def written(folder, content, name="file"):
    path = folder / name
    path.write_bytes(content)
    return path


def error_of(path, rank=3):
    with pytest.raises(InputError) as caught:
        read_idx(path, rank)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message


def test_pictures_are_read_in_row_order(tmp_path):
    array = read_idx(written(tmp_path, PICTURES), rank=3)

    assert array.dtype == np.uint8
    assert array.shape == (2, 3, 4)
    assert array[1, 2, 3] == 23
    assert array[0, 1, 0] == 4


def test_labels_are_read(tmp_path):
    assert read_idx(written(tmp_path, LABELS), rank=1).tolist() == [9, 0, 3, 3, 1]


def test_a_gzipped_file_holds_the_same(tmp_path):
    array = read_idx(written(tmp_path, gzip.compress(PICTURES), "file.gz"), rank=3)

    assert array.tobytes() == PIXELS


@pytest.mark.parametrize(("pack", "name"), [(bytes, "file"), (gzip.compress, "file.gz")])
def test_a_large_file_is_read_by_rows(tmp_path, monkeypatch, pack, name):
    for module in (idx, stored):
        monkeypatch.setattr(module, "LARGEST_IN_MEMORY", 0)

    rows = read_idx(written(tmp_path, pack(PICTURES), name), rank=3)

    assert isinstance(rows, StoredRows)
    assert rows[np.array([1, 0])].tobytes() == PIXELS[12:] + PIXELS[:12]


@pytest.mark.parametrize(("change", "received"), [(PICTURES[:-1], "1 bytes are missing"), (PICTURES + b"x", "more")])
def test_a_gzipped_file_of_another_length_is_refused(tmp_path, change, received):
    assert received in error_of(written(tmp_path, gzip.compress(change), "file.gz"))


def test_a_side_above_255_needs_all_four_bytes_of_its_length(tmp_path):
    content = struct.pack(">BBBBIII", 0, 0, 0x08, 3, 1, 1, 258) + bytes(258)

    assert read_idx(written(tmp_path, content), rank=3).shape == (1, 1, 258)


def test_truncated_file_says_how_long_it_must_be(tmp_path):
    assert "must have 40 bytes for its shape (2, 3, 4). Received: 39" in error_of(written(tmp_path, PICTURES[:-1]))


def test_extra_bytes_are_refused(tmp_path):
    assert "must have 40 bytes for its shape (2, 3, 4). Received: 41" in error_of(written(tmp_path, PICTURES + b"x"))


@pytest.mark.parametrize("length", range(4, 16))
def test_a_header_cut_short_is_refused(tmp_path, length):
    assert f"its header needs 16 bytes. Received: {length}" in error_of(written(tmp_path, PICTURES[:length]))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08", b"\x89PNG" + PICTURES[4:], b"\x01" + PICTURES[1:], b"\0\0\x0d\x03" + PICTURES[4:]],
    ids=["empty", "three bytes", "png", "first byte not zero", "floats"],
)
def test_wrong_magic_is_refused(tmp_path, content):
    assert "must be an IDX file of unsigned bytes" in error_of(written(tmp_path, content))


def test_labels_are_no_pictures(tmp_path):
    assert "must hold 3 dimensions. Received: 1" in error_of(written(tmp_path, LABELS), rank=3)


def test_pictures_are_no_labels(tmp_path):
    assert "must hold 1 dimensions. Received: 3" in error_of(written(tmp_path, PICTURES), rank=1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-3],
        lambda packed: packed[:15] + bytes([packed[15] ^ 0xFF]) + packed[16:],
        lambda packed: packed[:-8] + bytes(4) + packed[-4:],
        lambda packed: PICTURES,
        lambda packed: packed + b"trailing",
    ],
    ids=["truncated", "damaged stream", "wrong checksum", "not gzip", "trailing bytes"],
)
def test_damaged_gzip_is_refused(tmp_path, damage):
    path = written(tmp_path, damage(gzip.compress(PICTURES)), "file.gz")

    assert "must be an undamaged gzip file" in error_of(path)


def test_missing_file_is_named(tmp_path):
    assert "must be readable (No such file or directory)" in error_of(tmp_path / "absent")


def test_an_array_without_values_is_refused_whatever_its_other_sides(tmp_path):
    content = struct.pack(">BBBBIII", 0, 0, 0x08, 3, 0, 2**32 - 1, 2**32 - 1)

    assert "must hold at least one value" in error_of(written(tmp_path, content))


@pytest.mark.parametrize("sides", [(2**32 - 1,) * 3, (2**20, 64, 64)], ids=str)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_nothing_is_reserved_for_values_that_are_only_claimed(tmp_path, sides, pack):
    content = pack(struct.pack(">BBBBIII", 0, 0, 0x08, 3, *sides) + PIXELS)
    path = written(tmp_path, content, "file.gz" if pack is gzip.compress else "file")

    tracemalloc.start()
    error_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 2**24
