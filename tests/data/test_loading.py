from importlib import resources

import numpy as np
import pytest

from vae_tf.config import DataConfig
from vae_tf.data.loading import load_arrays, load_splits
from vae_tf.support.errors import InputError

BUNDLED = resources.files("vae_tf.data") / "bundled"
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


# The bundled sample


@pytest.fixture(scope="module")
def sample():
    return load_splits(config(val_fraction=0))


def test_the_sample_has_10000_and_2500_images_of_28x28x1(sample):
    assert (sample.spec.num_train, sample.spec.num_val, sample.spec.num_test) == (10_000, 0, 2_500)
    assert sample.spec.example_shape == (28, 28, 1)
    assert sample.train.read(np.arange(2)).shape == (2, 28, 28, 1)


def test_the_sample_is_balanced_over_its_ten_classes(sample):
    assert sample.spec.num_classes == 10
    assert np.bincount(sample.train.labels).tolist() == [1000] * 10
    assert np.bincount(sample.test.labels).tolist() == [250] * 10


def test_the_sample_has_no_image_twice(sample):
    images = np.concatenate([part.read(np.arange(len(part))) for part in (sample.train, sample.test)])

    assert len({image.tobytes() for image in images}) == 12_500


def test_the_sample_is_in_no_order_of_classes(sample):
    # The first 1000 of 10,000 balanced labels: 100 of each class, standard deviation below 10.
    counts = np.bincount(sample.train.labels[:1000], minlength=10)

    assert counts.min() > 50
    assert counts.max() < 150


def test_the_sample_is_one_file_of_at_most_6_mb_with_its_licence_beside_it():
    files = {file.name: file for file in BUNDLED.iterdir()}

    assert files.keys() == {"fashion_mnist_sample.npz", "LICENSE"}
    assert len(files["fashion_mnist_sample.npz"].read_bytes()) <= 6_000_000
    licence = files["LICENSE"].read_text(encoding="utf-8")
    assert "MIT" in licence
    assert "Zalando" in licence


def test_the_sample_takes_no_data_dir(tmp_path):
    assert "fashion_mnist_sample is bundled with the package, so data_dir must not be set" in error_of(
        data_dir=str(tmp_path)
    )


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


def test_each_image_keeps_its_label_through_the_split(tmp_path):
    splits = load_splits(config(dataset="npz", data_dir=npz(tmp_path / "a.npz"), val_fraction=0.2))

    for part in (splits.train, splits.val):
        assert part.labels.tolist() == [number % CLASSES for number in numbers(part)]


def test_the_same_seed_draws_the_same_val_and_another_seed_another(tmp_path):
    path = npz(tmp_path / "a.npz")
    drawn = [numbers(load_splits(config(dataset="npz", data_dir=path, seed=seed)).val) for seed in (3, 3, 4)]

    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_val_does_not_depend_on_what_is_done_with_the_images(tmp_path):
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

    assert "too few examples for val_fraction=0.1. Received: 4" in error_of(dataset="npz", data_dir=path)


def test_a_class_of_one_image_does_not_stop_the_split(tmp_path):
    labels = np.zeros(40, int)
    labels[7] = 1
    np.savez(tmp_path / "a.npz", x_train=numbered(40), x_test=numbered(5), y_train=labels)

    assert load_splits(config(dataset="npz", data_dir=str(tmp_path / "a.npz"))).spec.num_val == 4


# Shape


def test_spec_states_the_shape_that_was_asked_for(tmp_path):
    values = {"dataset": "npz", "data_dir": npz(tmp_path / "a.npz")}

    assert load_splits(config(**values)).spec.example_shape == (8, 8, 1)
    assert load_splits(config(**values, image_size="32x20", channels=3)).spec.example_shape == (32, 20, 3)


def test_images_below_8_pixels_are_refused_unless_resized(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=numbered(40, side=7), x_test=numbered(5, side=7))
    values = {"dataset": "npz", "data_dir": str(tmp_path / "a.npz")}

    assert "at least 8x8 pixels. Received: 7x7" in error_of(**values)
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
        ({"x_train": numbered(9)}, "x_test"),
        ({"x_test": numbered(9)}, "x_train"),
        ({"images": numbered(9)}, "x_train and x_test"),
    ],
)
def test_npz_without_a_needed_array_says_which(tmp_path, arrays, missing):
    np.savez(tmp_path / "a.npz", **arrays)

    message = error_of(dataset="npz", data_dir=str(tmp_path / "a.npz"))

    assert message.endswith(f"a.npz must contain the arrays x_train and x_test. Missing: {missing}")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"x_train": np.full((40, 8, 8), np.nan)}, "x_train must contain values in [0, 255]"),
        ({"x_test": np.full((5, 8, 8), 256)}, "x_test must contain values in [0, 255]"),
        ({"x_test": numbered(5).reshape(5, 64)}, "x_test must have shape"),
        ({"x_train": numbered(40)[0]}, "x_train must have shape"),
        ({"x_train": numbered(0)}, "x_train must contain at least one image"),
        ({"x_test": numbered(5, side=9)}, "x_train and x_test must contain images of the same shape"),
        ({"x_test": np.zeros((5, 8, 8, 3))}, "x_train and x_test must contain images of the same shape"),
        ({"y_train": np.zeros(39, int)}, "y_train must contain one label for each of 40"),
        ({"y_test": np.zeros(6, int)}, "y_test must contain one label for each of 5"),
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


def test_npy_of_one_image_can_not_be_split(tmp_path):
    np.save(tmp_path / "a.npy", numbered(1))

    assert "too few examples for a test split" in error_of(dataset="npy", data_dir=str(tmp_path / "a.npy"))


def test_npy_of_the_wrong_rank_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))

    assert error_of(dataset="npy", data_dir=str(tmp_path / "a.npy")).startswith(f"{tmp_path / 'a.npy'} must have shape")


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
    np.savez(tmp_path / "a.npz", x_train=np.full((2, 8, 8), 51.0), x_test=np.zeros((2, 8, 8)))

    (x_train, _), (x_test, _) = load_arrays("npz", str(tmp_path / "a.npz"))

    np.testing.assert_allclose(x_train, 0.2, rtol=1e-6)
    assert np.all(x_test == 0)


def test_splits_of_different_scales_are_one_line_with_the_file(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.full((2, 8, 8), 51.0), x_test=np.full((2, 8, 8), 0.5))

    assert error_of(dataset="npz", data_dir=str(tmp_path / "a.npz"), val_fraction=0).endswith(
        f"{tmp_path / 'a.npz'}: x_train with maximum 51.0 and x_test with maximum 0.5; rescale one of them"
    )


@pytest.mark.parametrize("maximum", [1.0, 1.0000001])
def test_a_maximum_above_1_by_a_rounding_error_changes_nothing(tmp_path, maximum):
    pixels = np.linspace(0, 1, 128, dtype=np.float32).reshape(2, 8, 8)
    expected = pixels[..., np.newaxis].copy()
    pixels[1, 7, 7] = maximum
    np.savez(tmp_path / "a.npz", x_train=pixels, x_test=pixels)

    (x_train, _), (x_test, _) = load_arrays("npz", str(tmp_path / "a.npz"))

    np.testing.assert_array_equal(x_train, expected)
    np.testing.assert_array_equal(x_test, expected)


def test_load_arrays_refuses_an_unknown_name():
    with pytest.raises(InputError, match="Did you mean mnist"):
        load_arrays("mnits")


def test_classes_are_counted_over_all_splits(tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    labels = {"y_train": np.array([0, 1, 0, 1]), "y_test": np.array([0, 1, 4, 0])}
    np.savez(tmp_path / "a.npz", x_train=images, x_test=images, **labels)

    splits = load_splits(config(dataset="npz", data_dir=str(tmp_path / "a.npz"), val_fraction=0))

    assert splits.spec.num_classes == 5


def test_home_of_a_user_there_is_not_is_an_input_error():
    with pytest.raises(InputError, match="A path can't be resolved"):
        config(dataset="npz", data_dir="~there-is-no-such-user/a.npz")


# Classes


def test_conditional_needs_classes(tmp_path):
    path = npz(tmp_path / "data.npz", labelled=False)
    assert error_of(dataset="npz", data_dir=path, conditional=True) == (
        "conditional needs labelled data. Received: dataset=npz, whose train split has no labels; "
        "omit --conditional, or add the labels"
    )


def test_conditional_needs_classes_in_every_split(stl10):
    message = error_of(dataset="stl10_unlabeled", data_dir=str(stl10), conditional=True)
    assert "conditional needs labelled data" in message


def test_conditional_needs_classes_that_are_numbered_from_0(tmp_path):
    labels = np.full(40, 123_456)
    np.savez(tmp_path / "x.npz", x_train=numbered(40), x_test=numbered(40), y_train=labels, y_test=labels)
    message = error_of(dataset="npz", data_dir=str(tmp_path / "x.npz"), conditional=True)
    assert message == (
        "conditional needs class indices from 0 to 9,999. Received: a label of 123456; renumber the classes"
    )


@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        (np.arange(40) % 2, np.arange(40) % 3, "Received: class 2, which occurs only in the test split"),
        (
            np.zeros(40, int),
            np.zeros(40, int),
            "conditional needs at least two classes in the train split. Received: 1",
        ),
    ],
)
def test_conditional_needs_classes_it_can_learn(tmp_path, train, test, reason):
    np.savez(tmp_path / "x.npz", x_train=numbered(40), x_test=numbered(40), y_train=train, y_test=test)
    assert reason in error_of(dataset="npz", data_dir=str(tmp_path / "x.npz"), conditional=True)


def test_conditional_says_which_split_has_no_classes(tmp_path):
    np.savez(tmp_path / "x.npz", x_train=numbered(40), x_test=numbered(40), y_train=np.arange(40) % 2)
    assert "whose test split has no labels" in error_of(
        dataset="npz", data_dir=str(tmp_path / "x.npz"), conditional=True
    )
