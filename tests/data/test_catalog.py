import gzip
import hashlib
import struct
import tarfile
from importlib import resources

import keras
import numpy as np
import pytest

from vae_tf.config import DataConfig
from vae_tf.data import catalog
from vae_tf.data.catalog import load_arrays, load_splits, official_folds
from vae_tf.errors import InputError

EMBEDDED = resources.files("vae_tf.data") / "embedded"
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
    """Pictures that carry their number in two pixels; (count, side, side) uint8."""
    numbers = np.arange(first, first + count)
    pictures = np.full((count, side, side), 9, np.uint8)
    pictures[:, 0, 0], pictures[:, 0, 1] = numbers // 256, numbers % 256
    return pictures


def numbers(examples):
    """The numbers of the pictures in a split, in its order."""
    pictures = examples.read(np.arange(len(examples))).astype(int)
    return (pictures[:, 0, 0, 0] * 256 + pictures[:, 0, 1, 0]).tolist()


def npz(path, labelled=True, num_train=400, num_test=40, side=8):
    """An npz file of numbered pictures, the test ones from 1000 up; labels go round the classes."""
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


# The embedded sample


@pytest.fixture(scope="module")
def sample():
    return load_splits(config(val_fraction=0))


def test_the_sample_has_10000_and_2500_pictures_of_28x28x1(sample):
    assert (sample.spec.num_train, sample.spec.num_val, sample.spec.num_test) == (10_000, 0, 2_500)
    assert sample.spec.example_shape == (28, 28, 1)
    assert sample.train.read(np.arange(2)).shape == (2, 28, 28, 1)


def test_the_sample_is_balanced_over_its_ten_classes(sample):
    assert sample.spec.num_classes == 10
    assert np.bincount(sample.train.labels).tolist() == [1000] * 10
    assert np.bincount(sample.test.labels).tolist() == [250] * 10


def test_the_sample_has_no_picture_twice(sample):
    pictures = np.concatenate([part.read(np.arange(len(part))) for part in (sample.train, sample.test)])

    assert len({picture.tobytes() for picture in pictures}) == 12_500


def test_the_sample_is_in_no_order_of_classes(sample):
    # The first 1000 of 10,000 balanced labels: 100 of each class, standard deviation below 10.
    counts = np.bincount(sample.train.labels[:1000], minlength=10)

    assert counts.min() > 50
    assert counts.max() < 150


def test_the_sample_is_one_file_of_at_most_6_mb_with_its_licence_beside_it():
    files = {file.name: file for file in EMBEDDED.iterdir()}

    assert files.keys() == {"fashion_mnist_sample.npz", "LICENSE"}
    assert len(files["fashion_mnist_sample.npz"].read_bytes()) <= 6_000_000
    licence = files["LICENSE"].read_text(encoding="utf-8")
    assert "MIT" in licence
    assert "Zalando" in licence


def test_the_sample_takes_no_data_dir(tmp_path):
    assert "fashion_mnist_sample ships inside the package and takes no data_dir" in error_of(data_dir=str(tmp_path))


# Splits


def test_val_and_train_are_disjoint_and_together_the_whole(tmp_path):
    splits = load_splits(config(dataset="npz", data_dir=npz(tmp_path / "a.npz"), val_fraction=0.2))

    assert (splits.spec.num_train, splits.spec.num_val, splits.spec.num_test) == (320, 80, 40)
    assert sorted(numbers(splits.train) + numbers(splits.val)) == list(range(400))
    assert numbers(splits.test) == list(range(1000, 1040))


@pytest.mark.parametrize(("val_fraction", "per_class"), [(0.1, 10), (0.25, 25)])
def test_val_holds_the_same_share_of_every_class(tmp_path, val_fraction, per_class):
    splits = load_splits(config(dataset="npz", data_dir=npz(tmp_path / "a.npz"), val_fraction=val_fraction))

    assert np.bincount(splits.val.labels).tolist() == [per_class] * CLASSES
    assert np.bincount(splits.train.labels).tolist() == [100 - per_class] * CLASSES


def test_val_of_the_sample_is_a_tenth_of_every_class():
    splits = load_splits(config())

    assert np.bincount(splits.val.labels).tolist() == [100] * 10
    assert np.bincount(splits.train.labels).tolist() == [900] * 10


def test_each_picture_keeps_its_label_through_the_split(tmp_path):
    splits = load_splits(config(dataset="npz", data_dir=npz(tmp_path / "a.npz"), val_fraction=0.2))

    for part in (splits.train, splits.val):
        assert part.labels.tolist() == [number % CLASSES for number in numbers(part)]


def test_the_same_seed_draws_the_same_val_and_another_seed_another(tmp_path):
    path = npz(tmp_path / "a.npz")
    drawn = [numbers(load_splits(config(dataset="npz", data_dir=path, seed=seed)).val) for seed in (3, 3, 4)]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_val_does_not_depend_on_what_is_done_with_the_pictures(tmp_path):
    path = npz(tmp_path / "a.npz")
    other = {"image_size": 16, "channels": 3, "batch_size": 7, "binarize": "dynamic"}

    first = load_splits(config(dataset="npz", data_dir=path))
    second = load_splits(config(dataset="npz", data_dir=path, **other))

    assert numbers(first.val) == numbers(second.val)


def test_val_fraction_0_gives_no_val_and_the_whole_train_split(tmp_path):
    splits = load_splits(config(dataset="npz", data_dir=npz(tmp_path / "a.npz"), val_fraction=0))

    assert splits.val is None
    assert splits.spec.num_val == 0
    assert numbers(splits.train) == list(range(400))


def test_val_fraction_that_leaves_nothing_is_refused(tmp_path):
    path = npz(tmp_path / "a.npz", num_train=4)

    assert "val_fraction=0.1 needs more pictures than there are. Received: 4" in error_of(dataset="npz", data_dir=path)


def test_a_class_of_one_picture_does_not_stop_the_split(tmp_path):
    labels = np.zeros(40, int)
    labels[7] = 1
    np.savez(tmp_path / "a.npz", x_train=numbered(40), x_test=numbered(5), y_train=labels)

    assert load_splits(config(dataset="npz", data_dir=str(tmp_path / "a.npz"))).spec.num_val == 4


# Shape


def test_spec_states_the_shape_that_was_asked_for(tmp_path):
    values = {"dataset": "npz", "data_dir": npz(tmp_path / "a.npz")}

    assert load_splits(config(**values)).spec.example_shape == (8, 8, 1)
    assert load_splits(config(**values, image_size="32x20", channels=3)).spec.example_shape == (32, 20, 3)


def test_pictures_below_8_pixels_are_refused_unless_resized(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=numbered(40, side=7), x_test=numbered(5, side=7))
    values = {"dataset": "npz", "data_dir": str(tmp_path / "a.npz")}

    assert "at least 8 pixels a side. Received: 7x7" in error_of(**values)
    assert load_splits(config(**values, image_size=8)).spec.example_shape == (8, 8, 1)


# npz and npy


def test_npz_labels_are_optional(tmp_path):
    splits = load_splits(config(dataset="npz", data_dir=npz(tmp_path / "a.npz", labelled=False)))

    assert splits.spec.num_classes is None
    assert splits.train.labels is None


@pytest.mark.parametrize("dataset", ["folder", "npz", "npy"])
def test_own_data_needs_data_dir(dataset):
    assert f"dataset={dataset} needs data_dir" in error_of(dataset=dataset)


@pytest.mark.parametrize(
    ("arrays", "missing"),
    [
        ({"x_train": numbered(9)}, "no x_test"),
        ({"x_test": numbered(9)}, "no x_train"),
        ({"images": numbered(9)}, "no x_train and no x_test"),
    ],
)
def test_npz_without_a_needed_array_says_which(tmp_path, arrays, missing):
    np.savez(tmp_path / "a.npz", **arrays)

    message = error_of(dataset="npz", data_dir=str(tmp_path / "a.npz"))

    assert message.endswith(f"a.npz must hold the arrays x_train and x_test. Received: {missing}")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"x_train": np.full((40, 8, 8), np.nan)}, "x_train must hold values in [0, 255]"),
        ({"x_test": np.full((5, 8, 8), 256)}, "x_test must hold values in [0, 255]"),
        ({"x_test": numbered(5).reshape(5, 64)}, "x_test must have shape"),
        ({"x_train": numbered(40)[0]}, "x_train must have shape"),
        ({"x_train": numbered(0)}, "x_train must hold at least one picture"),
        ({"x_test": numbered(5, side=9)}, "x_train and x_test must hold pictures of one shape"),
        ({"x_test": np.zeros((5, 8, 8, 3))}, "x_train and x_test must hold pictures of one shape"),
        ({"y_train": np.zeros(39, int)}, "y_train must hold one label for each of 40"),
        ({"y_test": np.zeros(6, int)}, "y_test must hold one label for each of 5"),
    ],
)
def test_npz_array_that_can_not_be_used_is_named_with_its_file(tmp_path, change, fault):
    path = tmp_path / "a.npz"
    np.savez(path, **{"x_train": numbered(40), "x_test": numbered(5)} | change)

    message = error_of(dataset="npz", data_dir=str(path))

    assert message.startswith(f"{path}: {fault}")


def test_npy_is_split_into_a_fifth_for_test_that_is_the_same_for_every_seed(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, numbered(50))
    first, again, other = (
        load_splits(config(dataset="npy", data_dir=str(path), val_fraction=0.25, seed=seed)) for seed in (0, 0, 1)
    )

    assert (first.spec.num_train, first.spec.num_val, first.spec.num_test) == (30, 10, 10)
    assert sorted(numbers(first.train) + numbers(first.val) + numbers(first.test)) == list(range(50))
    assert numbers(first.test) == numbers(again.test) == numbers(other.test)
    assert numbers(first.test) != list(range(40, 50))
    assert numbers(first.val) == numbers(again.val) != numbers(other.val)


def test_npy_of_one_picture_can_not_be_split(tmp_path):
    np.save(tmp_path / "a.npy", numbered(1))

    assert "a test split needs more pictures" in error_of(dataset="npy", data_dir=str(tmp_path / "a.npy"))


def test_npy_of_the_wrong_rank_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))

    assert error_of(dataset="npy", data_dir=str(tmp_path / "a.npy")).startswith(f"{tmp_path / 'a.npy'} must have shape")


# Well-known sets


@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz")], ids=["plain", "gz"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_named_set_is_read_from_idx_files(tmp_path, dataset, pack, suffix):
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
def test_named_set_is_read_from_npz(tmp_path, in_folder):
    path = npz(tmp_path / "mnist.npz", side=28)

    splits = load_splits(config(dataset="mnist", data_dir=str(tmp_path) if in_folder else path, val_fraction=0))

    assert numbers(splits.train) == list(range(400))


def test_named_set_of_another_shape_is_refused(tmp_path):
    folder = idx_folder(tmp_path / "idx")

    message = error_of(dataset="cifar10", data_dir=folder)

    assert "cifar10, of shape (32, 32, 3). Received: " in message
    assert "(28, 28, 1)" in message


def test_folder_without_the_files_of_a_set_says_which_were_expected(tmp_path):
    message = error_of(dataset="cifar10", data_dir=str(tmp_path))

    assert "cifar10.npz" in message
    assert str(tmp_path) in message


def test_folder_with_only_the_train_pictures_is_refused(tmp_path):
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


def test_download_is_used_where_no_data_dir_is_given(monkeypatch):
    arrays = (numbered(30), np.arange(30) % 10), (numbered(10, first=1000), np.arange(10))
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: arrays)

    splits = load_splits(config(dataset="mnist", val_fraction=0))

    assert numbers(splits.train) == list(range(30))
    assert splits.test.labels.tolist() == list(range(10))


def test_labels_of_cifar10_come_as_a_column(monkeypatch):
    pictures = np.zeros((20, 32, 32, 3), np.uint8)
    labels = (np.arange(20) % 10)[:, np.newaxis]
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: ((pictures, labels), (pictures, labels)))

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


def test_stl10_unlabeled_has_the_unlabelled_pictures_to_train_on(stl10):
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

    assert error_of(dataset=dataset, data_dir=str(stl10)).startswith(f"{stl10 / name} must ")


def test_missing_folder_of_stl10_is_named(tmp_path):
    place = tmp_path / "absent"

    assert f"data_dir must be a folder with the files of stl10. Received: {place}" in error_of(
        dataset="stl10", data_dir=str(place)
    )


def test_official_folds_of_stl10_are_rows_of_its_train_split(stl10):
    folds = official_folds(config(dataset="stl10", data_dir=str(stl10)))

    assert [fold.tolist() for fold in folds] == [list(range(fold % 4, 40, 4)) for fold in range(10)]


def test_official_folds_beyond_the_train_split_are_refused(stl10):
    (stl10 / "fold_indices.txt").write_text("39 40\n" * 10)

    with pytest.raises(InputError, match="rows from 0 to 39"):
        official_folds(config(dataset="stl10", data_dir=str(stl10)))


@pytest.mark.parametrize("dataset", ["stl10_unlabeled", "npz", "fashion_mnist_sample"])
def test_other_datasets_have_no_official_folds(stl10, dataset):
    assert official_folds(config(dataset=dataset, data_dir=str(stl10))) is None


def test_stl10_without_a_fold_file_has_no_official_folds(stl10):
    (stl10 / "fold_indices.txt").unlink()

    assert official_folds(config(dataset="stl10", data_dir=str(stl10))) is None


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
    monkeypatch.setattr(catalog, "STL10_ARCHIVE", path.as_uri())
    monkeypatch.setattr(catalog, "STL10_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    return path


def test_stl10_is_downloaded_once_where_no_data_dir_is_given(stl10_archive):
    first = load_splits(config(dataset="stl10", val_fraction=0))
    stl10_archive.unlink()
    second = load_splits(config(dataset="stl10_unlabeled", val_fraction=0))

    assert first_bytes(first.train) == list(range(40))
    assert first_bytes(second.train) == list(range(150, 210))


def test_archive_of_stl10_with_another_hash_is_not_unpacked(stl10_archive, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "STL10_MD5", "0" * 32)

    message = error_of(dataset="stl10")

    assert message.startswith("stl10 could not be downloaded (Incomplete or corrupted file")
    assert "--data-dir" in message
    assert list(tmp_path.glob("cache/**/*.bin")) == []


def test_failed_download_of_stl10_names_the_way_out(stl10_archive):
    stl10_archive.unlink()

    message = error_of(dataset="stl10_unlabeled")

    assert message.startswith("stl10 could not be downloaded (URL fetch failure")
    assert "--data-dir" in message


# Arrays for Python use


def test_load_arrays_gives_the_sample_as_float32_in_0_to_1():
    (x_train, y_train), (x_test, y_test) = load_arrays()

    assert (x_train.shape, x_test.shape) == ((10_000, 28, 28, 1), (2_500, 28, 28, 1))
    assert (x_train.dtype, x_test.dtype) == (np.float32, np.float32)
    assert (x_train.min(), x_train.max()) == (0.0, 1.0)
    assert (y_train.dtype, y_test.dtype) == (np.int64, np.int64)
    assert (len(y_train), len(y_test)) == (10_000, 2_500)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((2, 8, 8), 51, np.uint8), 0.2),
        (np.full((2, 8, 8), 51.0), 0.2),
        (np.full((2, 8, 8), 0.75), 0.75),
        (np.ones((2, 8, 8), np.uint8), 1.0),
        (np.ones((2, 8, 8), bool), 1.0),
    ],
    ids=["bytes", "floats to 255", "floats to 1", "binary bytes", "booleans"],
)
def test_load_arrays_scales_by_what_stands_for_white(tmp_path, pixels, expected):
    np.savez(tmp_path / "a.npz", x_train=pixels, x_test=pixels)

    (x_train, y_train), (x_test, _) = load_arrays("npz", str(tmp_path / "a.npz"))

    np.testing.assert_allclose(x_train, expected, rtol=1e-6)
    np.testing.assert_allclose(x_test, expected, rtol=1e-6)
    assert y_train is None


def test_white_is_the_same_in_both_splits(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.full((2, 8, 8), 1.0), x_test=np.full((2, 8, 8), 51.0))

    (x_train, _), (x_test, _) = load_arrays("npz", str(tmp_path / "a.npz"))

    np.testing.assert_allclose(x_train, 1 / 255, rtol=1e-6)
    np.testing.assert_allclose(x_test, 0.2, rtol=1e-6)


def test_load_arrays_refuses_an_unknown_name():
    with pytest.raises(InputError, match="Did you mean mnist"):
        load_arrays("mnits")


def test_classes_are_counted_over_all_splits(tmp_path):
    pictures = np.zeros((4, 8, 8), np.uint8)
    labels = {"y_train": np.array([0, 1, 0, 1]), "y_test": np.array([0, 1, 4, 0])}
    np.savez(tmp_path / "a.npz", x_train=pictures, x_test=pictures, **labels)

    splits = load_splits(config(dataset="npz", data_dir=str(tmp_path / "a.npz"), val_fraction=0))

    assert splits.spec.num_classes == 5


def test_home_of_a_user_there_is_not_is_an_input_error():
    with pytest.raises(InputError, match="path must name a place"):
        config(dataset="npz", data_dir="~there-is-no-such-user/a.npz")


# Toy sets and classes


@pytest.mark.parametrize(("name", "num_classes"), [("moons", 2), ("circles", 2), ("blobs", 3)])
def test_toy_sets_are_points_of_a_plane_in_classes(name, num_classes):
    splits = load_splits(config(dataset=name))
    assert splits.spec.example_shape == (2,)
    assert splits.spec.noun == "row"
    assert (splits.spec.num_train, splits.spec.num_val, splits.spec.num_test) == (9000, 1000, 2000)
    assert splits.spec.num_classes == num_classes


def test_the_parts_of_a_toy_set_are_draws_of_their_own():
    (x_train, _), (x_test, _) = load_arrays("moons")
    assert not np.isin(x_test[:, 0], x_train[:, 0]).any()


def test_conditional_needs_classes(tmp_path):
    path = npz(tmp_path / "data.npz", labelled=False)
    assert error_of(dataset="npz", data_dir=path, conditional=True) == (
        "conditional needs data with a class for each picture. Received: dataset=npz without labels"
    )


def test_conditional_needs_classes_in_every_split(stl10):
    message = error_of(dataset="stl10_unlabeled", data_dir=str(stl10), conditional=True)
    assert "a class for each picture" in message


def test_conditional_needs_classes_that_are_numbered_from_0(tmp_path):
    labels = np.full(40, 123_456)
    np.savez(tmp_path / "x.npz", x_train=numbered(40), x_test=numbered(40), y_train=labels, y_test=labels)
    message = error_of(dataset="npz", data_dir=str(tmp_path / "x.npz"), conditional=True)
    assert message == "conditional needs classes numbered from 0, at most 10,000 of them. Received: a label of 123456"
