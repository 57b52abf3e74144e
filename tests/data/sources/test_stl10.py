"""On small files in the format of https://cs.stanford.edu/~acoates/stl10/, written here byte by byte."""

import io
import tarfile

import numpy as np
import pytest

from vae_tf.data.sources.stl10 import extract_archive, find_folder, read_folds, read_images, read_labels, read_split
from vae_tf.support.errors import InputError

IMAGE_BYTES = 3 * 96 * 96
RED, GREEN, BLUE = range(3)


def written(path, content):
    path.write_bytes(bytes(content))
    return path


def error_of(read, path, *arguments):
    with pytest.raises(InputError) as caught:
        read(path, *arguments)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message


# Images


def test_values_are_channel_by_channel_and_column_by_column(tmp_path):
    content = bytearray(3 * IMAGE_BYTES)
    marks = {(1, 2, 5, RED): 11, (1, 90, 3, GREEN): 22, (2, 0, 95, BLUE): 33, (0, 7, 0, BLUE): 44}
    for (number, row, column, channel), value in marks.items():
        content[number * IMAGE_BYTES + channel * 96 * 96 + column * 96 + row] = value

    pixels = read_images(written(tmp_path / "train_X.bin", content))[:]

    assert pixels.shape == (3, 96, 96, 3)
    assert pixels.dtype == np.uint8
    assert {tuple(place): pixels[tuple(place)] for place in np.argwhere(pixels).tolist()} == marks


def test_an_asymmetric_image_is_upright_and_in_its_colours(tmp_path):
    # A red bar along the top, a green one down the left, blue in the lower right corner.
    red, green, blue = np.zeros((3, 96, 96), np.uint8)  # [column][row]
    red[:, :10], green[:5, :], blue[60:, 80:] = 200, 150, 100

    [image] = read_images(written(tmp_path / "train_X.bin", red.tobytes() + green.tobytes() + blue.tobytes()))[:]

    assert image[2, 50].tolist() == [200, 0, 0]
    assert image[50, 2].tolist() == [0, 150, 0]
    assert image[85, 70].tolist() == [0, 0, 100]
    assert image[70, 85].tolist() == [0, 0, 0]


def test_images_stay_on_disk_through_a_split(tmp_path):
    path = tmp_path / "unlabeled_X.bin"
    with path.open("wb") as file:
        file.truncate(100_000 * IMAGE_BYTES)  # sparse: as long as the set's own file, and no block of it written
        file.seek(77_777 * IMAGE_BYTES)
        file.write(b"\7")

    half = read_split(tmp_path, "unlabeled").subset(np.arange(1, 100_000, 2))

    assert len(half) == 50_000
    assert half.read(np.array([38_888]))[0, 0, 0].tolist() == [7, 0, 0]
    assert half.labels is None
    assert half.scale == 255.0
    assert half.dtype == np.uint8


@pytest.mark.parametrize("size", [0, 1, IMAGE_BYTES - 1, IMAGE_BYTES + 96])
def test_a_file_that_does_not_hold_whole_images_is_refused(tmp_path, size):
    path = written(tmp_path / "train_X.bin", bytes(size))

    assert f"a multiple of 27,648 bytes (one image). Received: {size:,} bytes" in error_of(read_images, path)


def test_a_part_has_its_images_and_labels(tmp_path):
    written(tmp_path / "test_X.bin", bytes(IMAGE_BYTES) + bytes([9]) * IMAGE_BYTES)
    written(tmp_path / "test_y.bin", [10, 3])

    examples = read_split(tmp_path, "test")

    assert examples.example_shape == (96, 96, 3)
    assert np.unique(examples.read(np.array([1]))).tolist() == [9]
    assert examples.labels.tolist() == [9, 2]


# Labels


def test_labels_are_counted_from_0(tmp_path):
    labels = read_labels(written(tmp_path / "y.bin", [1, 10, 5]), 3)

    assert labels.tolist() == [0, 9, 4]
    assert labels.dtype == np.int64


@pytest.mark.parametrize(("label", "fault"), [(0, "minimum 0, maximum 4"), (11, "minimum 3, maximum 11")])
def test_labels_outside_1_to_10_are_refused(tmp_path, label, fault):
    path = written(tmp_path / "y.bin", [3, label, 4])

    assert f"labels from 1 to 10. Received: {fault}" in error_of(read_labels, path, 3)


@pytest.mark.parametrize("count", [0, 2, 4])
def test_labels_must_be_as_many_as_images(tmp_path, count):
    path = written(tmp_path / "y.bin", [1] * count)

    assert f"one label for each of 3 images. Received: {count} labels" in error_of(read_labels, path, 3)


# Folds


def folds_text(rows=1000):
    return "".join(" ".join(str((fold + 7 * row) % 5000) for row in range(rows)) + " \n" for fold in range(10))


def test_folds_are_ten_lines_of_rows(tmp_path):
    folds = read_folds(written(tmp_path / "fold_indices.txt", folds_text().encode()))

    assert [fold.shape for fold in folds] == [(1000,)] * 10
    assert folds[3][:3].tolist() == [3, 10, 17]
    assert folds[0].dtype == np.int64


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "must contain 10 lines. Received: 0"),
        (b"1 2\n" * 9, "must contain 10 lines. Received: 9"),
        (b"1 2\n" * 11, "must contain 10 lines. Received: 11"),
        (folds_text(9).encode()[:-8], "the same number of integers on each line"),
        (b"1 2.5\n" * 10, "the same number of integers on each line"),
        (b"1 two\n" * 10, "the same number of integers on each line"),
        (b"1 \xff\n" * 10, "the same number of integers on each line"),
        (b"1 99999999999999999999\n" * 10, "the same number of integers on each line"),
        (b"1 -2\n" * 10, "indices from 0 to 4,999. Received: minimum -2, maximum 1"),
        (b"0 5000\n" * 10, "indices from 0 to 4,999. Received: minimum 0, maximum 5000"),
    ],
)
def test_a_fold_file_that_is_none_is_refused(tmp_path, content, fault):
    path = written(tmp_path / "fold_indices.txt", content)

    assert fault in error_of(read_folds, path)


def test_folds_must_lie_in_the_images_there_are(tmp_path):
    path = written(tmp_path / "fold_indices.txt", b"0 40\n" * 10)

    assert "indices from 0 to 39. Received: minimum 0, maximum 40" in error_of(read_folds, path, 40)


# Files


@pytest.mark.parametrize(("read", "arguments"), [(read_images, ()), (read_labels, (3,)), (read_folds, ())])
def test_a_missing_file_is_named(tmp_path, read, arguments):
    message = error_of(read, tmp_path / "absent", *arguments)

    assert "No such file" in message
    assert "--data-dir" in message


def test_the_folder_of_the_archive_is_found(tmp_path):
    (tmp_path / "stl10_binary").mkdir()

    assert find_folder(tmp_path) == tmp_path / "stl10_binary"
    assert find_folder(tmp_path / "stl10_binary") == tmp_path / "stl10_binary"


def archive(path, *names):
    with tarfile.open(path, "w:gz") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            file.addfile(member, io.BytesIO(b"abc"))
    return path


def test_an_archive_is_unpacked_beside_itself_once(tmp_path):
    path = archive(tmp_path / "a.tar.gz", "stl10_binary/train_y.bin")

    folder = extract_archive(path)
    (folder / "train_y.bin").write_bytes(b"mine")

    assert extract_archive(path) == folder == tmp_path / "stl10_binary"
    assert (folder / "train_y.bin").read_bytes() == b"mine"
    assert sorted(tmp_path.iterdir()) == [path, folder]


def test_an_archive_that_reaches_outside_leaves_nothing(tmp_path):
    (tmp_path / "cache").mkdir()
    path = archive(tmp_path / "cache" / "a.tar.gz", "stl10_binary/train_y.bin", "../../outside")

    with pytest.raises(tarfile.FilterError):
        extract_archive(path)

    assert sorted(tmp_path.rglob("*")) == [tmp_path / "cache", path]


def test_a_damaged_archive_leaves_nothing(tmp_path):
    path = archive(tmp_path / "a.tar.gz", *(f"stl10_binary/{number}" for number in range(200)))
    path.write_bytes(path.read_bytes()[:-300])

    with pytest.raises((tarfile.TarError, EOFError)):
        extract_archive(path)

    assert list(tmp_path.iterdir()) == [path]
