"""Options of the data."""

import math

import pytest

from vae_tf.config import DataConfig
from vae_tf.support.errors import InputError


def error_of(values):
    with pytest.raises(InputError) as caught:
        DataConfig(**values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "requirement"),
    [
        ("batch_size", 0, "at least 1"),
        ("image_size", 4, "at least 8 pixels on each side"),
        ("image_size", "64x7", "at least 8 pixels on each side"),
        ("image_size", -50, "at least 8 pixels on each side"),
        ("image_size", "big", "SIZE or HEIGHTxWIDTH"),
        ("image_size", "50x50x3", "SIZE or HEIGHTxWIDTH"),
        ("image_size", [], "SIZE or HEIGHTxWIDTH"),
        ("image_size", 50.5, "SIZE or HEIGHTxWIDTH"),
        ("channels", 2, "one of 1 or 3"),
        ("val_fraction", 1, "less than 1"),
        ("val_fraction", -0.1, "at least 0"),
        ("val_fraction", math.nan, "a finite number"),
        ("seed", -1, "at least 0"),
        ("seed", 2**31, "at most 2147483647"),
        ("data_dir", "", "a non-empty string"),
        ("data_dir", 5, "a string"),
        ("fit", "fill", "one of 'crop', 'pad' or 'stretch'"),
        ("binarize", "always", "one of 'none', 'static' or 'dynamic'"),
        (
            "dataset",
            "imagenet",
            "one of fashion_mnist_sample, fashion_mnist, mnist, cifar10, stl10, stl10_unlabeled, folder,",
        ),
    ],
)
def test_value_out_of_range_is_one_line_with_the_requirement_and_what_came(key, value, requirement):
    message = error_of({key: value})

    assert message.startswith(f"{key} must be {requirement}")
    assert f"Received: {key}={value}" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (50, "50x50"),
        ("50", "50x50"),
        ("64x48", "64x48"),
        ("64X48", "64x48"),
        ([64, 48], "64x48"),
        ((64, 48), "64x48"),
        (8, "8x8"),
        (None, None),
    ],
)
def test_image_size_takes_a_side_or_height_and_width(given, stored):
    assert DataConfig(image_size=given).image_size == stored


@pytest.mark.parametrize(
    ("given", "kept"),
    [("none", "none"), ("gaussian:0.30", "gaussian:0.3"), ("salt-pepper:1", "salt-pepper:1"), ("mask:.5", "mask:0.5")],
)
def test_a_corruption_is_a_kind_and_an_amount(given, kept):
    assert DataConfig(corrupt=given).corrupt == kept


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("gauss:0.3", "corrupt must be one of none, gaussian, salt-pepper, mask. Received: corrupt=gauss"),
        (
            "gaussian",
            "corrupt must be TYPE:AMOUNT with an amount in (0, 10], such as gaussian:0.3. Received: corrupt=gaussian",
        ),
        ("gaussian:nan", "an amount in (0, 10]"),
        ("gaussian:0", "an amount in (0, 10]"),
        ("mask:1.5", "an amount in (0, 1]"),
        ("salt-pepper:-1", "an amount in (0, 1]"),
        (0.3, "corrupt must be one of"),
    ],
)
def test_what_is_no_corruption_is_refused(given, reason):
    assert reason in error_of({"corrupt": given})


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"image_size": 28}, "image_size applies only to images. Received: dataset=moons, image_size=28x28"),
        ({"data_dir": "x"}, "data_dir applies only to images"),
        ({"binarize": "static"}, "binarize applies only to images"),
        ({"corrupt": "mask:0.5"}, "corrupt applies only to images"),
        ({"fit": "crop"}, "fit applies only to images. Received: dataset=moons, fit=crop"),
        ({"flip": True}, "flip applies only to images. Received: dataset=moons, flip=True"),
    ],
)
def test_options_of_images_are_refused_for_a_toy_set(values, reason):
    assert reason in error_of({"dataset": "moons", **values})


def test_a_cache_is_for_files_to_decode():
    assert error_of({"cache_dir": "x"}) == "cache_dir needs dataset=folder. Received: dataset=fashion_mnist_sample"
