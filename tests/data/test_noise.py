"""What noise does to images, and what decides it."""

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.data.noise import RandomStream, binarize, corrupt

GREY = 0.4


def grey(n=40, shape=(16, 16, 1)):
    return tf.fill((n, *shape), GREY)


def draws(positions=range(40), epoch=0, seed=0, split="train", consecutive=True):
    return RandomStream(tf.constant(list(positions), tf.int64), tf.constant(epoch, tf.int64), seed, split, consecutive)


def noisy(corruption, images=None, **which):
    return np.asarray(corrupt(grey() if images is None else images, corruption, draws(**which)))


def test_gaussian_noise_has_its_deviation_and_no_mean():
    noise = noisy("gaussian:0.1") - GREY
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=4 * 0.1 / np.sqrt(noise.size))


def test_gaussian_noise_is_cut_at_black_and_white():
    values = noisy("gaussian:1")
    assert (values.min(), values.max()) == (0.0, 1.0)


def test_salt_and_pepper_share_the_probability():
    values = noisy("salt-pepper:0.2")
    for value, share in ((0.0, 0.1), (1.0, 0.1), (np.float32(GREY), 0.8)):
        assert (values == value).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / values.size))


def test_mask_blackens_its_share():
    values = noisy("mask:0.5")
    assert (values == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert set(np.unique(values)) == {np.float32(0), np.float32(GREY)}


@pytest.mark.parametrize("corruption", ["salt-pepper:0.3", "mask:0.3"])
def test_the_channels_of_a_pixel_share_its_fate(corruption):
    values = noisy(corruption, grey(shape=(16, 16, 3)))
    assert (values == values[..., :1]).all()


@pytest.mark.parametrize("shape", [(16, 16, 1), (7, 5, 3)])  # of a whole number of the generator's blocks, and not
@pytest.mark.parametrize("corruption", ["gaussian:0.3", "salt-pepper:0.3", "mask:0.3"])
def test_noise_belongs_to_the_example_not_to_its_batch(corruption, shape):
    whole = noisy(corruption, grey(shape=shape))
    np.testing.assert_array_equal(noisy(corruption, grey(3, shape), positions=[7, 8, 9]), whole[7:10])
    scattered = noisy(corruption, grey(3, shape), positions=[7, 0, 39], consecutive=False)
    np.testing.assert_array_equal(scattered, whole[[7, 0, 39]])
    assert len(np.unique(whole, axis=0)) == 40


def test_pieces_of_the_stream_do_not_overlap():
    numbers = np.asarray(draws(range(1000)).uniform("", (5,)))
    assert len(np.unique(numbers)) > 0.999 * numbers.size  # floats have 2^23 values in [0, 1)
    assert abs(np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]) < 4 / np.sqrt(numbers.size)


@pytest.mark.parametrize(
    ("first", "other", "equal"),
    [
        ({"epoch": 0}, {"epoch": 1}, False),
        ({"seed": 0}, {"seed": 1}, False),
        ({"split": "train"}, {"split": "val"}, False),
        ({"seed": 0, "split": "test"}, {"seed": 1, "split": "test"}, True),
    ],
)
def test_epoch_seed_and_split_decide_the_noise_but_seeds_share_the_test_split(first, other, equal):
    assert np.array_equal(noisy("gaussian:0.3", **first), noisy("gaussian:0.3", **other)) == equal


def test_binarization_and_corruption_draw_on_their_own():
    """With one key for both, the pixels that binarization makes white would be those that the mask keeps."""
    drawn = np.asarray(binarize(tf.fill((40, 16, 16, 1), 0.5), draws()))
    kept = noisy("mask:0.5") > 0
    assert abs(np.corrcoef(drawn.ravel(), kept.ravel())[0, 1]) < 0.05
