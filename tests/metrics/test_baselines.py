import numpy as np
import pytest

from vae_tf.metrics.baselines import noise_generator, pca_generators

RNG = np.random.default_rng(0)
# Two kinds of images: a mixture can tell them apart, one normal distribution can't.
IMAGES = np.clip(
    np.where(np.arange(300)[:, None, None, None] % 2, 0.2, 0.8) + 0.02 * RNG.standard_normal((300, 8, 8, 1)), 0, 1
)


def test_noise_is_uniform():
    images = noise_generator((8, 9, 3))(500, 0)
    assert images.shape == (500, 8, 9, 3)
    assert images.mean() == pytest.approx(0.5, abs=0.01)
    assert images.var() == pytest.approx(1 / 12, abs=0.005)


@pytest.mark.parametrize("name", ["pca_gaussian", "pca_gaussian_mixture"])
def test_generators_keep_mean_and_spread_of_the_data(name):
    images = pca_generators(IMAGES, 4, 0)[name](2000, 1)
    assert images.shape == (2000, 8, 8, 1)
    assert images.mean() == pytest.approx(IMAGES.mean(), abs=0.03)
    assert images.mean(axis=(1, 2, 3)).std() == pytest.approx(IMAGES.mean(axis=(1, 2, 3)).std(), rel=0.15)


def test_the_mixture_knows_two_kinds_where_the_normal_does_not():
    generators = pca_generators(IMAGES, 4, 0)
    grey = {name: np.mean(np.abs(make(500, 0).mean(axis=(1, 2, 3)) - 0.5) < 0.15) for name, make in generators.items()}
    assert grey["pca_gaussian_mixture"] < 0.02 < 0.2 < grey["pca_gaussian"]


@pytest.mark.parametrize("name", ["pca_gaussian", "pca_gaussian_mixture"])
def test_a_seed_repeats_its_images(name):
    make = pca_generators(IMAGES, 4, 0)[name]
    np.testing.assert_array_equal(make(5, 3), make(5, 3))
    assert (make(5, 3) != make(5, 4)).any()
