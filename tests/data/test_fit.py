"""The geometry by hand, and that files and arrays follow it alike."""

import numpy as np
import pytest
from PIL import Image

from vae_tf.config import DataConfig
from vae_tf.data.fit import fit_image
from vae_tf.data.folders import load_folder
from vae_tf.data.pipeline import resize_and_convert
from vae_tf.data.sources.image_files import fingerprint, open_images
from vae_tf.data.sources.images import read_image

FITS = ["crop", "pad", "stretch"]
BLACK_LEFT_WHITE_RIGHT = np.repeat(np.array([[0, 255]], np.uint8), 16, axis=0).repeat(16, axis=1)  # 16x32
ORIENTATION, TURNED_RIGHT = 0x0112, 6


def saved(pixels, path, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [
        ((10, 20), (8, 8), (0, 5, 10, 15, 8, 8, 0, 0)),  # wide: the left and right quarters are cut off
        ((20, 10), (8, 8), (5, 0, 15, 10, 8, 8, 0, 0)),  # tall
        ((10, 10), (8, 8), (0, 0, 10, 10, 8, 8, 0, 0)),
        ((10, 20), (8, 16), (0, 0, 10, 20, 8, 16, 0, 0)),
        ((10, 10), (8, 16), (2.5, 0, 7.5, 10, 8, 16, 0, 0)),  # square to wide
        ((10, 13), (8, 8), (0, 1.5, 10, 11.5, 8, 8, 0, 0)),  # an odd remainder is shared by both sides
        ((1, 100), (8, 8), (0, 49.5, 1, 50.5, 8, 8, 0, 0)),
    ],
)
def test_crop_uses_the_centre(size, target, expected):
    assert fit_image(size, target, "crop") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [
        ((10, 20), (8, 8), (0, 0, 10, 20, 4, 8, 2, 0)),
        ((20, 10), (8, 8), (0, 0, 20, 10, 8, 4, 0, 2)),
        ((10, 10), (8, 8), (0, 0, 10, 10, 8, 8, 0, 0)),
        ((10, 10), (8, 16), (0, 0, 10, 10, 8, 8, 0, 4)),
        ((16, 10), (16, 15), (0, 0, 16, 10, 16, 10, 0, 2)),  # of an odd remainder, the right has one more
        ((1, 100), (8, 8), (0, 0, 1, 100, 1, 8, 3, 0)),  # never less than a pixel
    ],
)
def test_pad_uses_all_of_the_image(size, target, expected):
    assert fit_image(size, target, "pad") == expected


@pytest.mark.parametrize("size", [(10, 20), (20, 10), (8, 8), (1, 100)])
def test_stretch_fills_the_target_with_all_of_the_image(size):
    assert fit_image(size, (8, 16), "stretch") == (0, 0, *size, 8, 16, 0, 0)


def test_halves_of_a_wide_file(tmp_path):
    path = saved(BLACK_LEFT_WHITE_RIGHT, tmp_path / "a.png")

    rows = {fit: read_image(path, (8, 8, 1), fit)[..., 0] for fit in FITS}

    # At the edge between the halves, the filter mixes them.
    for fit in ("crop", "stretch"):
        assert (rows[fit][:, :3] == 0).all()
        assert (rows[fit][:, 5:] == 255).all()
    assert (rows["pad"][[0, 1, 6, 7]] == 255).all()
    assert (rows["pad"][2:6, :3] == 0).all()
    assert (rows["pad"][2:6, 5:] == 255).all()


def test_crop_keeps_the_middle_of_four_quarters(tmp_path):
    quarters = np.tile(np.array([10, 60, 110, 160], np.uint8).repeat(8), (16, 1))
    path = saved(quarters, tmp_path / "a.png")

    row = read_image(path, (16, 16, 1), "crop")[5, :, 0]  # at its own scale, pixels are copied

    np.testing.assert_array_equal(row, [60] * 8 + [110] * 8)


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_crop_follows_the_orientation_of_the_upright_image(tmp_path, extension):
    # Stored 64 wide with bands of 16 from left to right; turned right, they go from top to bottom.
    bands = np.tile(np.array([0, 80, 160, 240], np.uint8).repeat(16), (32, 1))
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    path = saved(bands, tmp_path / f"a.{extension}", exif=exif)

    image = read_image(path, (32, 32, 1), "crop")[..., 0].astype(int)

    assert np.abs(image[:15] - 80).max() <= 5
    assert np.abs(image[17:] - 160).max() <= 5


def test_a_large_jpeg_that_is_decoded_at_a_smaller_size_is_cropped_alike(tmp_path):
    bands = np.tile(np.array([0, 80, 160, 240], np.uint8).repeat(400), (800, 1))
    path = saved(bands, tmp_path / "a.jpg", quality=95)

    row = read_image(path, (8, 8, 1), "crop")[4, :, 0].astype(int)

    np.testing.assert_allclose(row[[0, 1, 2, 5, 6, 7]], [80] * 3 + [160] * 3, atol=14)
    assert row[1] == pytest.approx(80, abs=3)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(23, 31), (31, 23), (20, 20), (1, 40), (1, 500), (7, 8), (5, 6)], ids=str)
def test_a_file_and_an_array_of_it_are_fitted_alike(tmp_path, fit, channels, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    shape = (16, 12, channels)

    from_file = read_image(saved(pixels, tmp_path / "a.png"), shape, fit) / 255
    from_array = resize_and_convert(pixels[np.newaxis].astype(np.float32) / 255, shape, fit)[0]

    # Pillow rounds to a level after grey conversion and after each of the two passes: 0.5 each, 0.1 for the weights.
    np.testing.assert_allclose(from_file, from_array, atol=1.6 / 255)


def test_padding_of_arrays_is_white():
    padded = resize_and_convert(np.zeros((2, 8, 16, 1), np.float32), (8, 8, 3), "pad").numpy()

    assert (padded[:, [0, 1, 6, 7]] == 1).all()
    assert (padded[:, 2:6] == 0).all()


def test_a_cache_is_for_one_fit(tmp_path):
    paths = [saved(BLACK_LEFT_WHITE_RIGHT, tmp_path / "a.png")]
    first = np.array([0])
    for fit in FITS:
        kept = open_images(paths, (8, 8, 1), fit, tmp_path / "cache").read(first)
        np.testing.assert_array_equal(kept, open_images(paths, (8, 8, 1), fit).subset(first).read(first))
        np.testing.assert_array_equal(kept[0], read_image(paths[0], (8, 8, 1), fit))
    assert len({fingerprint(paths, (8, 8, 1), fit) for fit in FITS}) == 3


@pytest.mark.parametrize(("given", "used"), [(None, "crop"), ("crop", "crop"), ("pad", "pad"), ("stretch", "stretch")])
@pytest.mark.parametrize("cached", [False, True])
def test_a_folder_is_read_as_its_config_says(tmp_path, given, used, cached):
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 40, 3), dtype=np.uint8)
    path = saved(pixels, tmp_path / "images" / "a.png")
    cache_dir = str(tmp_path / "cache") if cached else None

    config = DataConfig(
        dataset="folder", data_dir=str(tmp_path / "images"), image_size=8, fit=given, cache_dir=cache_dir
    )

    np.testing.assert_array_equal(load_folder(config).train.read(np.array([0]))[0], read_image(path, (8, 8, 3), used))
