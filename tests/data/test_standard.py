"""The well-known sets, from small files in their formats."""

import gzip
import hashlib
import struct
import tarfile

import keras
import numpy as np
import pytest

from vae_tf.config import DataConfig
from vae_tf.data import standard
from vae_tf.data.loading import load_arrays, load_splits
from vae_tf.data.modality import ROW
from vae_tf.data.standard import load_official_folds
from vae_tf.support.errors import InputError

CLASSES = 4


def config(**values):
    return DataConfig(**values)


def error_of(**values):
    with pytest.raises(InputError) as caught:
        load_splits(config(**values))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def numbered(count, first=0, side=8):
    """Images that carry their number in two pixels; (count, side, side) uint8."""
    numbers = np.arange(first, first + count)
    images = np.full((count, side, side), 9, np.uint8)
    images[:, 0, 0], images[:, 0, 1] = numbers // 256, numbers % 256
    return images


def numbers(examples):
    """The numbers of the images in a split, in its order."""
    images = examples.read(np.arange(len(examples))).astype(int)
    return (images[:, 0, 0, 0] * 256 + images[:, 0, 1, 0]).tolist()


def npz(path, labelled=True, num_train=400, num_test=40, side=8):
    """An npz file of numbered images, the test ones from 1000 up; labels go round the classes."""
    arrays = {"x_train": numbered(num_train, side=side), "x_test": numbered(num_test, first=1000, side=side)}
    if labelled:
        arrays |= {"y_train": np.arange(num_train) % CLASSES, "y_test": np.arange(num_test) % CLASSES}
    np.savez(path, **arrays)
    return str(path)


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def idx_folder(folder, pack=lambda content: content, suffix="", labelled=True):
    folder.mkdir()
    files = {
        "train-images-idx3-ubyte": numbered(30, side=28),
        "t10k-images-idx3-ubyte": numbered(10, first=1000, side=28),
    }
    if labelled:
        files |= {"train-labels-idx1-ubyte": np.arange(30) % 10, "t10k-labels-idx1-ubyte": np.arange(10)}
    for name, array in files.items():
        (folder / f"{name}{suffix}").write_bytes(pack(idx(array)))
    return str(folder)


# Well-known sets


@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz")], ids=["plain", "gz"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_standard_dataset_is_read_from_idx_files(tmp_path, dataset, pack, suffix):
    folder = idx_folder(tmp_path / "idx", pack, suffix)

    splits = load_splits(config(dataset=dataset, data_dir=folder, val_fraction=0))

    assert numbers(splits.train) == list(range(30))
    assert numbers(splits.test) == list(range(1000, 1010))
    assert splits.train.labels.tolist() == [number % 10 for number in range(30)]
    assert splits.test.labels.tolist() == list(range(10))


def test_idx_label_files_are_optional(tmp_path):
    folder = idx_folder(tmp_path / "idx", labelled=False)

    assert load_splits(config(dataset="mnist", data_dir=folder)).spec.num_classes is None


@pytest.mark.parametrize("in_folder", [True, False])
def test_standard_dataset_is_read_from_npz(tmp_path, in_folder):
    path = npz(tmp_path / "mnist.npz", side=28)

    splits = load_splits(config(dataset="mnist", data_dir=str(tmp_path) if in_folder else path, val_fraction=0))

    assert numbers(splits.train) == list(range(400))


def test_standard_dataset_of_another_shape_is_refused(tmp_path):
    folder = idx_folder(tmp_path / "idx")

    message = error_of(dataset="cifar10", data_dir=folder)

    assert "cifar10, of shape (32, 32, 3). Received: " in message
    assert "(28, 28, 1)" in message


def test_folder_without_the_files_of_a_set_says_which_were_expected(tmp_path):
    message = error_of(dataset="cifar10", data_dir=str(tmp_path))

    assert "cifar10.npz" in message
    assert str(tmp_path) in message


def test_folder_with_only_the_train_images_is_refused(tmp_path):
    folder = idx_folder(tmp_path / "idx")
    (tmp_path / "idx" / "t10k-images-idx3-ubyte").unlink()

    assert "t10k-images-idx3-ubyte" in error_of(dataset="mnist", data_dir=folder)


def test_missing_folder_of_a_set_is_named(tmp_path):
    assert f"{tmp_path / 'absent'} (no such folder)" in error_of(dataset="mnist", data_dir=str(tmp_path / "absent"))


def test_truncated_idx_file_of_a_set_is_named(tmp_path):
    folder = idx_folder(tmp_path / "idx")
    images = tmp_path / "idx" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])

    assert error_of(dataset="mnist", data_dir=folder).startswith(str(images))


@pytest.mark.parametrize("dataset", ["mnist", "npz"])
def test_a_home_folder_is_expanded(tmp_path, monkeypatch, dataset):
    monkeypatch.setenv("HOME", str(tmp_path))
    npz(tmp_path / "a.npz", side=28)

    assert load_splits(config(dataset=dataset, data_dir="~/a.npz")).spec.num_test == 40


def test_failed_download_is_one_line_that_names_the_way_out(monkeypatch):
    def fail():
        raise Exception("URL fetch failure on https://example.org:\n403 -- Forbidden")  # as keras does

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)

    message = error_of(dataset="mnist")

    assert "mnist could not be downloaded (URL fetch failure on https://example.org: 403 -- Forbidden)" in message
    assert "--data-dir" in message


def test_a_failed_download_is_told_without_the_password_of_a_proxy(monkeypatch):
    def fail():
        raise Exception(f"{'x' * 130} http://user:open-sesame-{'y' * 30}@proxy")

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)

    assert "http://[redacted]@proxy" in error_of(dataset="mnist")


def test_download_is_used_where_no_data_dir_is_given(monkeypatch):
    arrays = (numbered(30), np.arange(30) % 10), (numbered(10, first=1000), np.arange(10))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: arrays)

    splits = load_splits(config(dataset="mnist", val_fraction=0))

    assert numbers(splits.train) == list(range(30))
    assert splits.test.labels.tolist() == list(range(10))


def test_labels_of_cifar10_come_as_a_column(monkeypatch):
    images = np.zeros((20, 32, 32, 3), np.uint8)
    labels = (np.arange(20) % 10)[:, np.newaxis]
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((images, labels), (images, labels)))

    splits = load_splits(config(dataset="cifar10", val_fraction=0))

    assert splits.spec.example_shape == (32, 32, 3)
    assert splits.train.labels.tolist() == labels.ravel().tolist()


# STL-10


def first_bytes(examples):
    return examples.read(np.arange(len(examples)))[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("place", ["stl10_binary", "."])
def test_stl10_is_read_from_its_files(stl10, tmp_path, place):
    splits = load_splits(config(dataset="stl10", data_dir=str(tmp_path / place), val_fraction=0))

    assert splits.spec.example_shape == (96, 96, 3)
    assert splits.spec.num_classes == 10
    assert splits.spec.class_names is None
    assert first_bytes(splits.train) == list(range(40))
    assert splits.train.labels.tolist() == [number % 10 for number in range(40)]
    assert first_bytes(splits.test) == list(range(100, 120))
    assert splits.test.labels.tolist() == [number % 10 for number in range(20)]


def test_stl10_unlabeled_has_the_unlabelled_images_to_train_on(stl10):
    splits = load_splits(config(dataset="stl10_unlabeled", data_dir=str(stl10), val_fraction=0.25))

    assert (splits.spec.num_train, splits.spec.num_val, splits.spec.num_test) == (45, 15, 20)
    assert sorted(first_bytes(splits.train) + first_bytes(splits.val)) == list(range(150, 210))
    assert splits.train.labels is None
    assert splits.test.labels.tolist() == [number % 10 for number in range(20)]


def test_stl10_unlabeled_needs_no_labels_of_the_train_part(stl10):
    for name in ("train_X.bin", "train_y.bin", "fold_indices.txt"):
        (stl10 / name).unlink()

    assert load_splits(config(dataset="stl10_unlabeled", data_dir=str(stl10))).spec.num_test == 20


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("stl10", "train_X.bin"), ("stl10", "test_y.bin"), ("stl10_unlabeled", "unlabeled_X.bin")],
)
@pytest.mark.parametrize("damaged", [False, True], ids=["missing", "short"])
def test_missing_or_short_file_of_stl10_is_named(stl10, dataset, name, damaged):
    content = (stl10 / name).read_bytes()
    (stl10 / name).unlink()
    if damaged:
        (stl10 / name).write_bytes(content[:-1])

    assert error_of(dataset=dataset, data_dir=str(stl10)).startswith(f"{stl10 / name} ")


def test_missing_folder_of_stl10_is_named(tmp_path):
    place = tmp_path / "absent"

    assert f"data_dir must be a folder with the files of stl10. Received: {place}" in error_of(
        dataset="stl10", data_dir=str(place)
    )


def test_official_folds_of_stl10_are_rows_of_its_train_split(stl10):
    folds = load_official_folds(config(dataset="stl10", data_dir=str(stl10)))

    assert [fold.tolist() for fold in folds] == [list(range(fold % 4, 40, 4)) for fold in range(10)]


def test_official_folds_beyond_the_train_split_are_refused(stl10):
    (stl10 / "fold_indices.txt").write_text("39 40\n" * 10)

    with pytest.raises(InputError, match="indices from 0 to 39"):
        load_official_folds(config(dataset="stl10", data_dir=str(stl10)))


@pytest.mark.parametrize("dataset", ["stl10_unlabeled", "npz", "fashion_mnist_sample"])
def test_other_datasets_have_no_official_folds(stl10, dataset):
    assert load_official_folds(config(dataset=dataset, data_dir=str(stl10))) is None


def test_stl10_without_a_fold_file_has_no_official_folds(stl10):
    (stl10 / "fold_indices.txt").unlink()

    assert load_official_folds(config(dataset="stl10", data_dir=str(stl10))) is None


@pytest.fixture
def stl10_archive(stl10, tmp_path, monkeypatch):
    """A stand-in for the archive on the network, with its own hash, and Keras's cache in an empty folder."""
    path = tmp_path / "server" / "stl10_binary.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        file.add(stl10, "stl10_binary")
    (tmp_path / "cache").mkdir()
    get_file = keras.utils.get_file
    monkeypatch.setattr(
        keras.utils, "get_file", lambda **options: get_file(**options, cache_dir=str(tmp_path / "cache"))
    )
    monkeypatch.setattr(standard, "STL10_ARCHIVE", path.as_uri())
    monkeypatch.setattr(standard, "STL10_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


def test_stl10_is_downloaded_once_where_no_data_dir_is_given(stl10_archive):
    first = load_splits(config(dataset="stl10", val_fraction=0))
    stl10_archive.unlink()
    second = load_splits(config(dataset="stl10_unlabeled", val_fraction=0))

    assert first_bytes(first.train) == list(range(40))
    assert first_bytes(second.train) == list(range(150, 210))


def test_archive_of_stl10_with_another_hash_is_not_unpacked(stl10_archive, tmp_path, monkeypatch):
    monkeypatch.setattr(standard, "STL10_MD5", "0" * 32)

    message = error_of(dataset="stl10")

    assert message.startswith("stl10 could not be downloaded (Incomplete or corrupted file")
    assert "--data-dir" in message
    assert list(tmp_path.glob("cache/**/*.bin")) == []


def test_failed_download_of_stl10_names_the_way_out(stl10_archive):
    stl10_archive.unlink()

    message = error_of(dataset="stl10_unlabeled")

    assert message.startswith("stl10 could not be downloaded (URL fetch failure")
    assert "--data-dir" in message


# Toy sets


@pytest.mark.parametrize(("name", "num_classes"), [("moons", 2), ("circles", 2), ("blobs", 3)])
def test_toy_sets_are_points_of_a_plane_in_classes(name, num_classes):
    splits = load_splits(config(dataset=name))
    assert splits.spec.example_shape == (2,)
    assert splits.spec.modality is ROW
    assert (splits.spec.num_train, splits.spec.num_val, splits.spec.num_test) == (9000, 1000, 2000)
    assert splits.spec.num_classes == num_classes


def test_the_parts_of_a_toy_set_are_draws_of_their_own():
    (x_train, _), (x_test, _) = load_arrays("moons")
    assert not np.isin(x_test[:, 0], x_train[:, 0]).any()


# Fashion-MNIST


@pytest.fixture
def fashion_server(tmp_path, monkeypatch):
    """A stand-in for the files on the network, with their own hashes, and Keras's cache in an empty folder."""
    server = tmp_path / "server"
    idx_folder(server, pack=gzip.compress, suffix=".gz")
    (tmp_path / "cache").mkdir()
    get_file = keras.utils.get_file
    monkeypatch.setattr(
        keras.utils, "get_file", lambda **options: get_file(**options, cache_dir=str(tmp_path / "cache"))
    )
    monkeypatch.setattr(standard, "FASHION_MNIST_URL", f"{server.as_uri()}/")
    hashes = {
        key: hashlib.sha256((server / f"{stem}.gz").read_bytes()).hexdigest()
        for key, stem in standard.IDX_STEMS.items()
    }
    monkeypatch.setattr(standard, "FASHION_MNIST_SHA256", hashes)
    return server


def test_fashion_mnist_is_downloaded_once_where_no_data_dir_is_given(fashion_server):
    first = load_splits(config(dataset="fashion_mnist", val_fraction=0))
    for path in fashion_server.iterdir():
        path.unlink()
    second = load_splits(config(dataset="fashion_mnist", val_fraction=0))

    assert numbers(second.train) == numbers(first.train)
    assert second.test.labels.tolist() == first.test.labels.tolist()


def test_a_file_of_fashion_mnist_with_another_hash_is_refused(fashion_server, monkeypatch):
    monkeypatch.setitem(standard.FASHION_MNIST_SHA256, "y_test", "0" * 64)

    message = error_of(dataset="fashion_mnist")

    assert message.startswith("fashion_mnist could not be downloaded (Incomplete or corrupted file")
    assert "--data-dir" in message
