import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from vae_tf.data.sources import idx, on_disk
from vae_tf.data.sources.idx import read_idx
from vae_tf.data.sources.on_disk import OnDiskArray
from vae_tf.support.errors import InputError

PIXELS = bytes(range(24))
IMAGES = struct.pack(">BBBBIII", 0, 0, 0x08, 3, 2, 3, 4) + PIXELS
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


def test_images_are_read_in_row_order(tmp_path):
    array = read_idx(written(tmp_path, IMAGES), rank=3)

    assert array.dtype == np.uint8
    assert array.shape == (2, 3, 4)
    assert array[1, 2, 3] == 23
    assert array[0, 1, 0] == 4


def test_labels_are_read(tmp_path):
    assert read_idx(written(tmp_path, LABELS), rank=1).tolist() == [9, 0, 3, 3, 1]


def test_a_gzipped_file_holds_the_same(tmp_path):
    array = read_idx(written(tmp_path, gzip.compress(IMAGES), "file.gz"), rank=3)

    assert array.tobytes() == PIXELS


@pytest.mark.parametrize(("pack", "name"), [(bytes, "file"), (gzip.compress, "file.gz")])
def test_a_large_file_is_read_by_rows(tmp_path, monkeypatch, pack, name):
    for module in (idx, on_disk):
        monkeypatch.setattr(module, "MAX_IN_MEMORY_BYTES", 0)

    rows = read_idx(written(tmp_path, pack(IMAGES), name), rank=3)

    assert isinstance(rows, OnDiskArray)
    assert rows[np.array([1, 0])].tobytes() == PIXELS[12:] + PIXELS[:12]


@pytest.mark.parametrize(("change", "received"), [(IMAGES[:-1], "1 bytes are missing"), (IMAGES + b"x", "longer")])
def test_a_gzipped_file_of_another_length_is_refused(tmp_path, change, received):
    assert received in error_of(written(tmp_path, gzip.compress(change), "file.gz"))


def test_a_side_above_255_needs_all_four_bytes_of_its_length(tmp_path):
    content = struct.pack(">BBBBIII", 0, 0, 0x08, 3, 1, 1, 258) + bytes(258)

    assert read_idx(written(tmp_path, content), rank=3).shape == (1, 1, 258)


def test_truncated_file_says_how_long_it_must_be(tmp_path):
    assert "must contain 40 bytes for its shape (2, 3, 4). Received: 39" in error_of(written(tmp_path, IMAGES[:-1]))


def test_extra_bytes_are_refused(tmp_path):
    assert "must contain 40 bytes for its shape (2, 3, 4). Received: 41" in error_of(written(tmp_path, IMAGES + b"x"))


@pytest.mark.parametrize("length", range(4, 16))
def test_a_header_cut_short_is_refused(tmp_path, length):
    assert f"must have a header of 16 bytes. Received: {length} bytes" in error_of(written(tmp_path, IMAGES[:length]))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08", b"\x89PNG" + IMAGES[4:], b"\x01" + IMAGES[1:], b"\0\0\x0d\x03" + IMAGES[4:]],
    ids=["empty", "three bytes", "png", "first byte not zero", "floats"],
)
def test_wrong_magic_is_refused(tmp_path, content):
    assert "must be an IDX file of unsigned bytes" in error_of(written(tmp_path, content))


def test_labels_are_no_images(tmp_path):
    assert "an array with 3 dimensions. Received: 1" in error_of(written(tmp_path, LABELS), rank=3)


def test_images_are_no_labels(tmp_path):
    assert "an array with 1 dimensions. Received: 3" in error_of(written(tmp_path, IMAGES), rank=1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-3],
        lambda packed: packed[:15] + bytes([packed[15] ^ 0xFF]) + packed[16:],
        lambda packed: packed[:-8] + bytes(4) + packed[-4:],
        lambda packed: IMAGES,
        lambda packed: packed + b"trailing",
    ],
    ids=["truncated", "damaged stream", "wrong checksum", "not gzip", "trailing bytes"],
)
def test_damaged_gzip_is_refused(tmp_path, damage):
    path = written(tmp_path, damage(gzip.compress(IMAGES)), "file.gz")

    assert "is a damaged gzip file" in error_of(path)


def test_missing_file_is_named(tmp_path):
    assert "can't be read (No such file or directory)" in error_of(tmp_path / "absent")


def test_an_array_without_values_is_refused_whatever_its_other_sides(tmp_path):
    content = struct.pack(">BBBBIII", 0, 0, 0x08, 3, 0, 2**32 - 1, 2**32 - 1)

    assert "must contain at least one value" in error_of(written(tmp_path, content))


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
