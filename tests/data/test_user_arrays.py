"""Data that the user passes from Python."""

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.data.user_arrays import UserArrays
from vae_tf.support.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 8, 9, 1), dtype=np.uint8)
LABELS = np.arange(10) % 3


def test_arrays_keep_their_values_and_get_the_names_of_keras_datasets():
    arrays = UserArrays(IMAGES, IMAGES[:4], LABELS, LABELS[:4]).arrays

    expected = {"x_train": IMAGES, "x_test": IMAGES[:4], "y_train": LABELS, "y_test": LABELS[:4]}
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name], strict=True)


def test_a_dataset_is_read_to_its_end_with_the_incomplete_last_batch():
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4)
    arrays = UserArrays(dataset, tf.data.Dataset.from_tensor_slices(IMAGES[:3]).batch(2)).arrays

    assert list(arrays) == ["x_train", "x_test", "y_train"]
    np.testing.assert_array_equal(arrays["x_train"], IMAGES, strict=True)
    np.testing.assert_array_equal(arrays["y_train"], LABELS, strict=True)
    np.testing.assert_array_equal(arrays["x_test"], IMAGES[:3], strict=True)


def test_lists_of_images_are_arrays():
    splits = UserArrays(list(IMAGES[..., 0]), IMAGES[..., 0].tolist()).native_splits()

    assert splits.train.example_shape == splits.test.example_shape == (8, 9, 1)
    assert splits.train.scale == 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": IMAGES[0, ..., 0]}, r"x must have shape \(N, H, W\).*Received: shape \(8, 9\)"),
        ({"x_test": IMAGES[:0]}, r"x_test must contain at least one image"),
        ({"x_test": IMAGES[:, :, :8]}, r"x and x_test must contain images of the same shape"),
        ({"x": IMAGES / 255.0}, r"same scale.*x with maximum .* and x_test with maximum"),
        ({"x": IMAGES - 0.5}, r"x must contain values in \[0, 255\]"),
        ({"y": LABELS[:9]}, r"y must contain one label for each of 10 images"),
        ({"y": LABELS, "y_test": LABELS + 0.5}, r"y_test must contain integers"),
        ({"x": ["a", "b"]}, r"x must contain numbers"),
    ],
)
def test_arrays_that_cant_be_used_are_refused_under_the_names_of_the_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        UserArrays(**{"x": IMAGES, "x_test": IMAGES, **arguments}).native_splits()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda dataset: dataset.batch(4).repeat(), "x must be a finite dataset"),
        (lambda dataset: dataset.take(0).batch(4), "x must contain at least one batch"),
        (lambda dataset: dataset, r"Received: elements of shape \(8, 9, 1\)"),
        (lambda dataset: dataset.map(lambda image: {"image": image}).batch(4), "Received: elements of type dict"),
        (lambda dataset: dataset.map(lambda image: (image, image, image)).batch(4), "Received: elements of type tuple"),
    ],
)
def test_datasets_that_cant_be_used_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        UserArrays(make(tf.data.Dataset.from_tensor_slices(IMAGES)), IMAGES)


def test_batches_of_images_of_several_sizes_are_refused():
    signature = tf.TensorSpec((None, None, None, 1), tf.uint8)
    dataset = tf.data.Dataset.from_generator(lambda: iter([IMAGES, IMAGES[:, :, :8]]), output_signature=signature)

    with pytest.raises(InputError, match="x must contain images of one size"):
        UserArrays(dataset, IMAGES)


def test_the_labels_of_a_dataset_are_not_passed_a_second_time():
    dataset = tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)

    with pytest.raises(InputError, match="y_test must not be passed if x_test is a dataset"):
        UserArrays(IMAGES, dataset, LABELS, LABELS)
