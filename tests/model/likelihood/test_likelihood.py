"""Likelihoods against scipy and against the losses of the original notebooks."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from vae_tf.model import Bernoulli, Gaussian

EVENT_AXES = (-3, -2, -1)
BATCH = (2, 4, 3, 3)  # two 4x3 colour images
RNG = np.random.default_rng(0)
GREY = RNG.random(BATCH).astype("float32")
BINARY = (RNG.random(BATCH) < 0.4).astype("float32")
PARAMS = RNG.normal(scale=3, size=(5, *BATCH)).astype("float32")  # five sets for each of the two


def test_params_size_is_the_number_of_channels():
    assert [Bernoulli().params_size(3), Gaussian().params_size(3)] == [3, 3]


def test_bernoulli_log_prob_equals_scipy_summed_over_pixels_and_channels():
    expected = stats.bernoulli.logpmf(BINARY, special.expit(PARAMS.astype("float64"))).sum(axis=EVENT_AXES)
    assert expected.shape == (5, 2)
    np.testing.assert_allclose(Bernoulli().log_prob(PARAMS, BINARY), expected, rtol=1e-5)


def test_bernoulli_on_grey_values_is_minus_the_summed_binary_cross_entropy():
    probability = special.expit(PARAMS.astype("float64"))
    cross_entropy = -(GREY * np.log(probability) + (1 - GREY) * np.log(1 - probability))
    np.testing.assert_allclose(-Bernoulli().log_prob(PARAMS, GREY), cross_entropy.sum(axis=EVENT_AXES), rtol=1e-5)


@pytest.mark.parametrize(("logit", "x", "expected"), [(100, 1, 0), (-100, 0, 0), (100, 0, -100), (-100, 1, -100)])
def test_bernoulli_log_prob_is_exact_for_extreme_logits(logit, x, expected):
    one_pixel = np.ones((1, 1, 1, 1), "float32")
    np.testing.assert_allclose(Bernoulli().log_prob(logit * one_pixel, x * one_pixel), [expected], atol=1e-30)


def test_bernoulli_gradient_is_the_data_minus_the_probability_even_for_extreme_logits():
    logits = tf.constant([-100.0, -2.0, 0.5, 100.0], shape=(1, 2, 2, 1))
    x = np.array([0.0, 0.3, 1.0, 0.0], "float32").reshape(1, 2, 2, 1)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = Bernoulli().log_prob(logits, x)
    np.testing.assert_allclose(tape.gradient(log_prob, logits), x - special.expit(logits.numpy()), atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 3), (13, 1, 1)])  # groups of 16, of 16, of 13
@pytest.mark.parametrize("values", ["binary", "grey"])
def test_bernoulli_log_prob_of_draws_equals_scipy(shape, values, jit_compile):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=20, size=(5, 2, *shape)).astype("float32")
    x = rng.random((2, *shape)).astype("float32")
    x = np.round(x) if values == "binary" else x
    log_prob = tf.function(Bernoulli().log_prob_for_evaluation, jit_compile=jit_compile)
    logits64 = logits.astype("float64")
    expected = (x * special.log_expit(logits64) + (1 - x) * special.log_expit(-logits64)).sum(axis=EVENT_AXES)
    np.testing.assert_allclose(log_prob(logits, x), expected, rtol=1e-6)


@pytest.mark.parametrize(("logit", "x", "expected"), [(100, 1, 0), (-100, 0, 0), (100, 0, -100), (-100, 1, -100)])
def test_bernoulli_log_prob_for_evaluation_is_exact_for_extreme_logits(logit, x, expected):
    image = np.ones((1, 4, 4, 1), "float32")
    np.testing.assert_allclose(
        Bernoulli().log_prob_for_evaluation(logit * image, x * image), [16 * expected], atol=1e-30
    )


def test_gaussian_log_prob_for_evaluation_is_its_log_prob():
    np.testing.assert_array_equal(
        Gaussian(0.5).log_prob_for_evaluation(PARAMS, GREY), Gaussian(0.5).log_prob(PARAMS, GREY)
    )


def test_bernoulli_mean_is_the_probability():
    mean = Bernoulli().mean(PARAMS)
    np.testing.assert_allclose(mean, special.expit(PARAMS.astype("float64")), rtol=1e-5)


def test_bernoulli_draws_are_zeros_and_ones_as_often_as_the_probability_says():
    num_draws = 10_000
    logits = np.broadcast_to(np.float32([-3.0, 0.0, 1.5]), (num_draws, 1, 1, 3))
    draws = np.asarray(Bernoulli().sample(logits, seed=2))
    probability = special.expit([-3.0, 0.0, 1.5])
    standard_error = np.sqrt(probability * (1 - probability) / num_draws)
    assert draws.shape == logits.shape
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert (np.abs(draws.mean(axis=(0, 1, 2)) - probability) < 5 * standard_error).all()


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 3.0])
def test_gaussian_log_prob_equals_scipy_summed_over_pixels_and_channels(sigma):
    expected = stats.norm.logpdf(GREY, PARAMS, sigma).sum(axis=EVENT_AXES)
    assert expected.shape == (5, 2)
    np.testing.assert_allclose(Gaussian(sigma).log_prob(PARAMS, GREY), expected, rtol=1e-5)


def test_gaussian_defaults_to_sigma_one():
    expected = stats.norm.logpdf(GREY, PARAMS, 1).sum(axis=EVENT_AXES)
    np.testing.assert_allclose(Gaussian().log_prob(PARAMS, GREY), expected, rtol=1e-5)


def test_sigma_of_root_half_is_the_squared_error_up_to_a_constant():
    # sigma^2 = 1/2: -log N(x; m, sigma) = (x - m)^2 + log(sigma sqrt(2 pi)) = (x - m)^2 + log(pi) / 2 per value.
    squared_error = ((GREY - PARAMS.astype("float64")) ** 2).sum(axis=EVENT_AXES)
    constant = np.prod(BATCH[1:]) * 0.5 * np.log(np.pi)
    negative_log_prob = -np.asarray(Gaussian(np.sqrt(0.5)).log_prob(PARAMS, GREY), "float64")
    np.testing.assert_allclose(negative_log_prob - squared_error, np.full((5, 2), constant), rtol=1e-4)


def test_gaussian_mean_is_the_parameters():
    np.testing.assert_array_equal(Gaussian(0.3).mean(PARAMS), PARAMS)


def test_gaussian_draws_have_the_mean_and_sigma():
    num_draws, sigma = 10_000, 0.3
    means = np.broadcast_to(np.float32([-1.0, 0.0, 5.0]), (num_draws, 1, 1, 3))
    draws = np.asarray(Gaussian(sigma).sample(means, seed=2), "float64").reshape(num_draws, 3)
    assert (np.abs(draws.mean(axis=0) - [-1.0, 0.0, 5.0]) < 5 * sigma / np.sqrt(num_draws)).all()
    assert (np.abs(draws.var(axis=0, ddof=1) / sigma**2 - 1) < 5 * np.sqrt(2 / num_draws)).all()


@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.5)])
def test_an_integer_seed_repeats_the_draw_and_another_changes_it(likelihood):
    first = np.asarray(likelihood.sample(PARAMS, seed=1))
    np.testing.assert_array_equal(likelihood.sample(PARAMS, seed=1), first)
    assert not np.array_equal(likelihood.sample(PARAMS, seed=2), first)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_sigma_that_is_not_positive_and_finite_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma={sigma}"):
        Gaussian(sigma)


def test_bernoulli_peak_is_minus_the_entropy_of_the_grey_values():
    entropy = special.entr(GREY.astype("float64")) + special.entr(1 - GREY.astype("float64"))
    np.testing.assert_allclose(Bernoulli().max_log_prob(GREY), -entropy.sum(axis=EVENT_AXES), rtol=1e-5)


def test_bernoulli_peak_of_binary_data_is_0():
    np.testing.assert_array_equal(Bernoulli().max_log_prob(BINARY), [0, 0])


def test_peak_of_a_likelihood_that_can_lie_anywhere_is_a_constant():
    np.testing.assert_array_equal(Gaussian().max_log_prob(GREY), [0, 0])
