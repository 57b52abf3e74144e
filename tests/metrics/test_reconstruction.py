import numpy as np
import pytest

from vae_tf.metrics.reconstruction import mean_squared_error, psnr, ssim

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 30, 3), (28, 28, 1)])
def test_ssim_of_an_image_with_itself_is_1_at_any_size(shape):
    images = RNG.random((3, *shape), np.float32)
    np.testing.assert_allclose(ssim(images, images), 1, atol=1e-6)
    assert (ssim(images, RNG.random((3, *shape), np.float32)) < 0.5).all()


def test_ssim_of_two_constant_images_is_the_luminance_term():
    a, b, c1 = 0.4, 0.6, 0.01**2  # Wang et al. 2004, eq. 13 with no contrast and no structure
    value = ssim(np.full((1, 16, 16, 1), a, np.float32), np.full((1, 16, 16, 1), b, np.float32))
    assert value[0] == pytest.approx(
        (2 * a * b + c1) / (a * a + b * b + c1), rel=1e-3
    )  # float32 variances of a constant


def test_mean_squared_error_and_psnr_by_hand():
    zeros = np.zeros((2, 8, 8, 1), np.float32)
    other = np.stack([np.full((8, 8, 1), 0.1), np.full((8, 8, 1), 0.5)])
    np.testing.assert_allclose(mean_squared_error(zeros, other), [0.01, 0.25])
    np.testing.assert_allclose(psnr(zeros, other), [20, 6.0206], rtol=1e-5)


def test_what_leaves_0_to_1_is_clipped():
    ones = np.ones((1, 8, 8, 1), np.float32)
    assert mean_squared_error(ones, 3 * ones)[0] == 0
