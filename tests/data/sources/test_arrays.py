import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vae_tf.data.sources import arrays, on_disk
from vae_tf.data.sources.arrays import (
    ArraySource,
    check_labels,
    check_pixels,
    infer_pixel_scale,
    read_npy,
    read_npz,
)
from vae_tf.data.sources.on_disk import OnDiskArray
from vae_tf.support.errors import InputError

NAMES = ("x_train", "x_test")


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def grey(count=3, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, side, side), dtype=np.uint8)


def read_error(read, *arguments):
    with pytest.raises(InputError) as caught:
        read(*arguments)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.fixture
def large(monkeypatch):
    """Makes every array too large for memory."""
    for module in (arrays, on_disk):
        monkeypatch.setattr(module, "MAX_IN_MEMORY_BYTES", 0)


# What an array of images must be


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 8, 9), (2, 8, 9, 1), (2, 8, 9, 3)])
def test_images_of_any_real_dtype_and_usable_shape_pass(dtype, shape):
    pixels = np.ones(shape, dtype)

    checked = check_pixels(pixels, "x")

    assert checked.shape == (2, 8, 9, shape[3] if len(shape) == 4 else 1)
    assert np.shares_memory(checked, pixels)


@pytest.mark.parametrize(
    ("value", "received"),
    [
        (np.nan, "minimum nan, maximum nan"),
        (np.inf, "minimum 0.0, maximum inf"),
        (-np.inf, "minimum -inf, maximum 0.0"),
        (255.5, "minimum 0.0, maximum 255.5"),
        (-0.25, "minimum -0.25, maximum 0.0"),
    ],
)
def test_one_value_out_of_range_is_refused(value, received):
    pixels = np.zeros((2, 8, 8))
    pixels[1, 3, 4] = value

    message = read_error(check_pixels, pixels, "x_train")

    assert message == f"x_train must contain values in [0, 255] without NaN. Received: {received}"


def test_sixteen_bit_values_are_refused():
    assert "maximum 300" in read_error(check_pixels, np.full((1, 8, 8), 300, np.uint16), "x")


@pytest.mark.parametrize(
    "shape",
    [(), (64,), (8, 8), (2, 8, 8, 2), (2, 8, 8, 4), (2, 1, 8, 8), (2, 8, 8, 3, 1)],
)
def test_wrong_rank_or_channels_are_refused(shape):
    message = read_error(check_pixels, np.zeros(shape), "x_train")

    assert message == (f"x_train must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3). Received: shape {shape}")


@pytest.mark.parametrize("shape", [(0, 8, 8), (0, 8, 8, 3), (2, 0, 8), (2, 8, 0, 1)])
def test_an_empty_array_is_refused(shape):
    assert "must contain at least one image" in read_error(check_pixels, np.zeros(shape), "x")


@pytest.mark.parametrize("dtype", [object, complex, "U1", "datetime64[s]"])
def test_what_are_no_numbers_is_refused(dtype):
    assert "x must contain numbers. Received: dtype " in read_error(check_pixels, np.zeros((2, 8, 8), dtype), "x")


# Labels


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_labels_become_a_vector_of_int64(shape):
    labels = check_labels(np.array([2, 0, 1], np.uint8).reshape(shape), 3, "y")

    assert labels.dtype == np.int64
    assert labels.tolist() == [2, 0, 1]


def test_no_labels_stay_none():
    assert check_labels(None, 3, "y") is None


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 10), (1, 3), (0,), ()])
def test_not_one_label_for_each_image_is_refused(shape):
    message = read_error(check_labels, np.zeros(shape, int), 3, "y_train")

    assert message == f"y_train must contain one label for each of 3 images. Received: shape {shape}"


def test_a_single_number_is_no_label_vector_even_for_one_image():
    assert "one label for each of 1 images" in read_error(check_labels, np.array(0), 1, "y")


@pytest.mark.parametrize("labels", [[0.0, 1.0], [0, -1], ["cat", "dog"]], ids=str)
def test_labels_that_are_no_class_numbers_are_refused(labels):
    assert "y must contain " in read_error(check_labels, np.array(labels), 2, "y")


# Which number stands for white


@pytest.mark.parametrize(
    ("arrays", "white"),
    [
        ([np.array([0.0, 1.0])], 1.0),
        ([np.array([0.0, 0.5], np.float32)], 1.0),
        ([np.array([0, 1], np.uint8)], 1.0),
        ([np.array([False, True])], 1.0),
        ([np.array([0, 2], np.uint8)], 255.0),
        ([np.array([0.0, 1.0000001], np.float32)], 1.0),
        ([np.array([0.0, 1.001], np.float16)], 1.0),
        ([np.array([0.0, 2.5])], 255.0),
        ([np.array([0, 200], np.uint8), np.array([0.0, 255.0])], 255.0),
        ([np.array([0.0, 1.0]), np.array([0.0, 1.0000001], np.float32)], 1.0),
        ([np.array([0.0, 0.0]), np.array([0.0, 200.0])], 255.0),
        ([np.array([0.0, 0.0])], 1.0),
    ],
)
def test_white_is_1_only_where_no_array_exceeds_1(arrays, white):
    assert infer_pixel_scale({f"x{number}": array for number, array in enumerate(arrays)}) == white


@pytest.mark.parametrize("maximum", [1.01, 1.3, 2.0])
def test_floats_that_exceed_1_a_little_are_refused(maximum):
    message = read_error(infer_pixel_scale, {"x_train": np.array([0.0, 1.0]), "x_test": np.array([0.0, maximum])})

    assert message == (
        f"x_test must contain values in [0, 1] or in [0, 255]. Received: maximum {maximum}; clip or rescale it"
    )


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (np.array([0.0, 1.0]), np.array([0.0, 200.0])),
        (np.array([0.0, 200.0]), np.array([0.0, 1.0])),
        (np.array([0, 200], np.uint8), np.array([0.0, 1.0])),
        (np.array([0, 1], np.uint8), np.array([0, 200], np.uint8)),
        (np.array([False, True]), np.array([0, 200])),
    ],
    ids=["floats", "other way round", "integers and floats", "integers", "booleans"],
)
def test_splits_of_different_scales_are_refused(train, test):
    message = read_error(infer_pixel_scale, {"x_train": train, "x_test": test})

    assert message == (
        "All images must have the same scale, [0, 1] or [0, 255]. Received: x_train with maximum "
        f"{train.max()} and x_test with maximum {test.max()}; rescale one of them"
    )


def test_floats_above_1_by_a_rounding_error_are_read_as_1():
    pixels = np.full((2, 8, 8), 0.5, np.float32)
    pixels[0, 0, 0] = 1.0000001

    read = ArraySource(pixels, None, 1.0).read(np.arange(2))

    assert (read.max(), read.min(), read.dtype) == (1.0, 0.5, np.float32)


def test_rows_of_features_may_exceed_their_scale():
    rows = np.array([[-3.0, 5.0]], np.float32)

    np.testing.assert_array_equal(ArraySource(rows, None, 1.0).read(np.array([0])), rows)


@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64, 1), (48, 64, 4)], ids=str)
def test_one_image_is_no_set_of_images(shape):
    assert read_error(check_pixels, np.zeros(shape, np.uint8), "x.npy") == (
        f"x.npy must contain a set of images, of shape (N, H, W) or (N, H, W, C). Received: shape {shape}, which is "
        "one image; stack several along a new first axis"
    )


# The collection


def test_read_returns_the_chosen_images_with_a_channel_axis():
    pixels = grey(5)

    batch = ArraySource(pixels, None, 255.0).read(np.array([4, 0, 4]))

    assert batch.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(batch[..., 0], pixels[[4, 0, 4]])


def test_colour_keeps_its_channels():
    examples = ArraySource(np.zeros((2, 8, 9, 3), np.uint8), None, 255.0)

    assert examples.example_shape == (8, 9, 3)
    assert examples.read(np.array([1])).shape == (1, 8, 9, 3)


@pytest.mark.parametrize(
    ("given", "delivered"),
    [(np.uint8, np.uint8), (bool, np.float32), (np.int64, np.float32), (np.float64, np.float32)],
)
def test_read_delivers_bytes_as_bytes_and_all_else_as_float32(given, delivered):
    examples = ArraySource(np.ones((2, 8, 8), given), None, 1.0)

    assert examples.dtype == delivered
    assert examples.read(np.array([0])).dtype == delivered


def test_subset_keeps_images_labels_and_white_together():
    pixels = grey(4)

    part = ArraySource(pixels, np.array([5, 6, 7, 8]), 255.0).subset(np.array([3, 1]))

    assert len(part) == 2
    assert part.labels.tolist() == [8, 6]
    assert part.scale == 255.0
    np.testing.assert_array_equal(part.read(np.arange(2))[..., 0], pixels[[3, 1]])


def test_subset_of_unlabelled_images_has_no_labels():
    assert ArraySource(grey(), None, 255.0).subset(np.array([0])).labels is None


def test_subset_of_a_subset_counts_within_the_first():
    pixels = grey(5)
    examples = ArraySource(pixels, np.array([5, 6, 7, 8, 9]), 255.0)

    part = examples.subset(np.array([4, 2, 0])).subset(np.array([2, 0]))

    assert part.labels.tolist() == [5, 9]
    np.testing.assert_array_equal(part.read(np.array([1, 0]))[..., 0], pixels[[4, 0]])


def test_subset_shares_the_images_instead_of_copying_them():
    pixels = grey(4)
    part = ArraySource(pixels, None, 255.0).subset(np.array([3, 1]))

    pixels[3] = 7

    assert np.all(part.read(np.array([0])) == 7)


# npz


def npz(folder, **arrays):
    path = folder / "data.npz"
    np.savez_compressed(path, **arrays)
    return path


def test_npz_arrays_are_read_by_name_and_others_left(tmp_path):
    path = npz(tmp_path, x_train=grey(3), other=np.array([None]))

    arrays = read_npz(path, NAMES)

    assert arrays.keys() == {"x_train"}
    np.testing.assert_array_equal(arrays["x_train"], grey(3))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_npz_arrays_are_read_by_rows(tmp_path, large, save):
    save(tmp_path / "data.npz", x_train=grey(7), x_test=np.arange(6.0).reshape(2, 3))

    found = read_npz(tmp_path / "data.npz", NAMES)

    assert all(isinstance(array, OnDiskArray) for array in found.values())
    np.testing.assert_array_equal(found["x_train"][np.array([6, 0, 3])], grey(7)[[6, 0, 3]])
    np.testing.assert_array_equal(found["x_test"][:], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_large_npz_array_with_a_damaged_byte_is_refused(tmp_path, large, save):
    path = tmp_path / "data.npz"
    save(path, x_train=grey(8))
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])

    assert str(path) in read_error(read_npz, path, NAMES)


def test_a_large_npz_array_in_fortran_order_is_read_whole(tmp_path, large):
    np.savez(tmp_path / "data.npz", x_train=np.asarray(grey(), order="F"))

    np.testing.assert_array_equal(read_npz(tmp_path / "data.npz", NAMES)["x_train"], grey())


def test_a_large_npz_array_of_objects_is_refused(tmp_path, large):
    np.savez(tmp_path / "data.npz", x_train=np.array([None]))

    assert "only numeric arrays are supported" in read_error(read_npz, tmp_path / "data.npz", NAMES)


def test_npz_objects_are_never_unpickled(tmp_path):
    evidence = tmp_path / "unpickled"
    path = npz(tmp_path, x_train=np.array([Trap(evidence)]))

    assert str(path) in read_error(read_npz, path, NAMES)
    assert not evidence.exists()


@pytest.mark.parametrize("kept", [0, 1, 20, 0.5, 0.9, -1])
def test_truncated_npz_is_refused(tmp_path, kept):
    path = npz(tmp_path, x_train=grey(), x_test=grey())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])

    assert str(path) in read_error(read_npz, path, NAMES)


def test_npz_with_a_damaged_byte_is_refused_wherever_it_is(tmp_path):
    path = npz(tmp_path, x_train=grey(8))
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        size = archive.infolist()[0].compress_size
    start = content.index(b"x_train.npy") + len("x_train.npy")
    for position in range(start + 20, start + size, 20):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :])

        assert str(path) in read_error(read_npz, path, NAMES)


def test_npz_that_is_another_zip_is_read_as_holding_none_of_the_arrays(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "no array")

    assert read_npz(path, NAMES) == {}


def test_npz_member_that_is_no_array_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", "no array")

    assert str(path) in read_error(read_npz, path, NAMES)


def test_npy_content_under_an_npz_name_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, grey())

    assert "must be a valid npz file" in read_error(read_npz, path, NAMES)


@pytest.mark.parametrize("read", [lambda path: read_npz(path, NAMES), read_npy], ids=["npz", "npy"])
@pytest.mark.parametrize("content", [b"", b"plain text, no array"], ids=["empty", "text"])
def test_a_file_of_another_kind_is_refused(tmp_path, read, content):
    path = tmp_path / "data"
    path.write_bytes(content)

    assert str(path) in read_error(read, path)


@pytest.mark.parametrize("read", [lambda path: read_npz(path, NAMES), read_npy], ids=["npz", "npy"])
def test_a_missing_file_or_a_folder_is_refused_with_the_reason(tmp_path, read):
    assert "No such file or directory" in read_error(read, tmp_path / "absent")
    assert "Is a directory" in read_error(read, tmp_path)


# npy


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("limit", [0, 10**6], ids=["large", "small"])
def test_npy_is_read_by_rows(tmp_path, monkeypatch, limit, order):
    monkeypatch.setattr(arrays, "MAX_IN_MEMORY_BYTES", limit)
    path = tmp_path / "data.npy"
    path.write_bytes(npy_bytes(np.asarray(grey(), order=order)))

    array = read_npy(path)

    assert isinstance(array, OnDiskArray) == (limit == 0 and order == "C")
    np.testing.assert_array_equal(array[np.array([2, 0])], grey()[[2, 0]])


def test_images_of_a_file_that_changed_are_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_IN_MEMORY_BYTES", 0)
    path = tmp_path / "data.npy"
    path.write_bytes(npy_bytes(grey()))
    examples = ArraySource(check_pixels(read_npy(path), "x"), None, 255.0)
    path.write_bytes(b"short")

    assert "The data file was removed or changed while in use" in read_error(examples.read, np.array([0]))


def test_values_out_of_range_are_seen_in_a_file_too(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAX_IN_MEMORY_BYTES", 0)
    path = tmp_path / "data.npy"
    path.write_bytes(npy_bytes(np.array([0, 7, 300], np.int64).repeat(64).reshape(3, 8, 8)))

    assert "minimum 0, maximum 300" in read_error(check_pixels, read_npy(path), "x")


def test_npy_objects_are_never_unpickled(tmp_path):
    evidence = tmp_path / "unpickled"
    path = tmp_path / "data.npy"
    path.write_bytes(npy_bytes(np.array([Trap(evidence)])))

    assert str(path) in read_error(read_npy, path)
    assert not evidence.exists()


@pytest.mark.parametrize("kept", [3, 8, 60, 127, 128, -1])
def test_truncated_npy_is_refused(tmp_path, kept):
    path = tmp_path / "data.npy"
    path.write_bytes(npy_bytes(grey())[:kept])

    assert str(path) in read_error(read_npy, path)


def test_npy_with_a_damaged_header_is_refused(tmp_path):
    path = tmp_path / "data.npy"
    path.write_bytes(npy_bytes(grey()).replace(b"(3, 8, 8)", b"(3, 8, 8,"))

    assert str(path) in read_error(read_npy, path)


def header(shape, descr="|u1", fortran_order=False):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": fortran_order, "shape": shape})
    return buffer.getvalue()


def npz_of(method):
    """Writes an npy file's content as the member x_train of an npz file."""

    def write(path, content):
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("x_train.npy", content)

    return write


KINDS = [
    pytest.param(Path.write_bytes, read_npy, id="npy"),
    pytest.param(npz_of(zipfile.ZIP_STORED), lambda path: read_npz(path, NAMES)["x_train"], id="npz"),
    pytest.param(npz_of(zipfile.ZIP_DEFLATED), lambda path: read_npz(path, NAMES)["x_train"], id="npz-compressed"),
]


def read_error_in_little_memory(read, path):
    tracemalloc.start()
    message = read_error(read, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    return message


@pytest.mark.parametrize("fortran_order", [False, True])
@pytest.mark.parametrize(
    "shape", [(10**6, 32, 32), (2**62, 8, 8), (2**70, 8, 8), (99,), (101,), (10**9, 0, 8)], ids=str
)
@pytest.mark.parametrize(("write", "read"), KINDS)
def test_nothing_is_reserved_for_values_that_are_only_claimed(tmp_path, write, read, shape, fortran_order):
    write(tmp_path / "data", header(shape, fortran_order=fortran_order) + bytes(100))

    assert "found 100" in read_error_in_little_memory(read, tmp_path / "data")


def test_a_size_that_the_directory_of_a_zip_file_claims_is_not_reserved(tmp_path):
    npz_of(zipfile.ZIP_DEFLATED)(tmp_path / "data", header((2**21, 1024), fortran_order=True) + bytes(100))
    content = bytearray((tmp_path / "data").read_bytes())
    place = content.index(b"PK\1\2") + 24
    content[place : place + 4] = (2**31 + 128).to_bytes(4, "little")
    (tmp_path / "data").write_bytes(content)

    tracemalloc.start()
    assert "bytes are missing" in read_error(read_npz, tmp_path / "data", NAMES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26


@pytest.mark.parametrize(("write", "read"), KINDS)
def test_a_length_that_no_array_can_have_is_refused_although_there_are_no_values(tmp_path, write, read):
    write(tmp_path / "data", header((2**63, 0, 8)))

    assert "invalid shape" in read_error(read, tmp_path / "data")


@pytest.mark.parametrize("shape", [(-1, 8, 8), (10, -8, -8), (True, 8, 8)], ids=str)
@pytest.mark.parametrize(("write", "read"), KINDS)
def test_lengths_that_are_none_are_refused(tmp_path, write, read, shape):
    write(tmp_path / "data", header(shape) + bytes(640))

    assert "invalid shape" in read_error(read, tmp_path / "data")


@pytest.mark.parametrize("descr", ["|O", [("a", "|O"), ("b", "|u1")], "|V0", "<U0"], ids=str)
@pytest.mark.parametrize(("write", "read"), KINDS)
def test_types_without_numbers_are_refused(tmp_path, write, read, descr):
    write(tmp_path / "data", header((10, 8, 8), descr) + bytes(640))

    assert "only numeric arrays are supported" in read_error(read, tmp_path / "data")


@pytest.mark.parametrize(("write", "read"), KINDS)
def test_a_long_header_is_not_read_to_its_end(tmp_path, write, read):
    write(tmp_path / "data", b"\x93NUMPY\2\0" + (2**24).to_bytes(4, "little") + b" " * 2**24)

    assert "header" in read_error_in_little_memory(read, tmp_path / "data")


@pytest.mark.parametrize("text", ["{'descr': " + "[" * 9000, "{'descr': " + "-" * 9000 + "1}", "(" * 9000])
@pytest.mark.parametrize(("write", "read"), KINDS)
def test_a_header_that_is_nested_deeply_is_refused(tmp_path, write, read, text):
    write(tmp_path / "data", b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode())

    assert str(tmp_path / "data") in read_error(read, tmp_path / "data")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">u2", ">i8", "<f2"])
@pytest.mark.parametrize(("write", "read"), KINDS)
def test_bytes_and_rows_in_any_order_are_the_same_numbers(tmp_path, write, read, dtype, order):
    values = np.arange(3 * 8 * 8).reshape(3, 8, 8)
    write(tmp_path / "data", npy_bytes(np.asarray(values, dtype, order=order)))

    examples = ArraySource(check_pixels(read(tmp_path / "data"), "x"), None, 255.0)

    pixels = examples.read(np.array([2, 0]))
    assert pixels.dtype == np.dtype("float32")
    np.testing.assert_array_equal(pixels[..., 0], values[[2, 0]])


def test_names_are_rows_of_the_array_also_in_a_part_of_it():
    examples = ArraySource(np.zeros((6, 4, 4), np.uint8), None, 255.0)
    assert examples.names == ["0", "1", "2", "3", "4", "5"]
    assert examples.subset(np.array([1, 3, 5])).subset(np.array([2, 0])).names == ["5", "1"]


def test_an_npy_file_of_a_number_alone_has_no_dimension(tmp_path):
    np.save(tmp_path / "x.npy", np.uint8(3))

    assert (read_npy(tmp_path / "x.npy").ndim, read_npy(tmp_path / "x.npy")[()]) == (0, 3)
