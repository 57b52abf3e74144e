"""The diagonal normal posterior against scipy and its own definition."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vae_tf.model import DiagonalNormal
from vae_tf.model.noise import standard_normal

MEAN = np.array([[-1.5, 0.0, 2.0], [0.3, -0.2, 10.0]], "float32")
LOG_VAR = np.array([[-3.0, 0.0, 1.5], [0.7, -8.0, -1.0]], "float32")
PARAMS = np.concatenate([MEAN, LOG_VAR], axis=-1)
STD = np.exp(0.5 * LOG_VAR.astype("float64"))


@pytest.fixture(scope="module")
def draws():
    """40,000 draws for each of the two examples, `(40000, 2, 3)`."""
    return np.asarray(DiagonalNormal().sample(PARAMS, standard_normal((40_000, *MEAN.shape), seed=3)), "float64")


def test_params_size_is_a_mean_and_a_log_variance_per_latent():
    assert DiagonalNormal().params_size(5) == 10


def test_mean_is_the_first_half_of_the_parameters():
    np.testing.assert_array_equal(DiagonalNormal().mean(PARAMS), MEAN)


def test_log_prob_equals_scipy_and_keeps_leading_axes():
    noise = np.random.default_rng(0).normal(size=(4, *MEAN.shape))
    z = (MEAN + 2 * STD * noise).astype("float32")
    expected = stats.norm.logpdf(z, MEAN, STD).sum(axis=-1)
    assert expected.shape == (4, 2)
    np.testing.assert_allclose(DiagonalNormal().log_prob(PARAMS, z), expected, rtol=1e-4)


def test_draws_have_the_mean_of_the_parameters(draws):
    standard_error = STD / np.sqrt(len(draws))
    assert (np.abs(draws.mean(axis=0) - MEAN) < 5 * standard_error).all()


def test_draws_have_the_variance_of_the_parameters(draws):
    ratio = draws.var(axis=0, ddof=1) / STD**2
    assert (np.abs(ratio - 1) < 5 * np.sqrt(2 / len(draws))).all()


def test_draws_are_independent_across_examples_and_latents(draws):
    correlation = np.corrcoef(draws.reshape(len(draws), -1), rowvar=False)
    np.testing.assert_array_less(np.abs(correlation - np.eye(6)), 5 / np.sqrt(len(draws)))


def test_a_draw_is_the_mean_plus_the_noise_in_standard_deviations():
    noise = np.random.default_rng(0).normal(size=(4, *MEAN.shape)).astype("float32")
    np.testing.assert_allclose(DiagonalNormal().sample(PARAMS, noise), MEAN + STD * noise, rtol=1e-5, atol=1e-6)


def test_draws_are_reparameterized():
    mean, log_var = tf.constant(MEAN), tf.constant(LOG_VAR)
    noise = standard_normal((1, *MEAN.shape), seed=1)
    with tf.GradientTape() as tape:
        tape.watch((mean, log_var))
        z = DiagonalNormal().sample(tf.concat([mean, log_var], axis=-1), noise)
    by_mean, by_log_var = tape.gradient(z, (mean, log_var))
    np.testing.assert_array_equal(by_mean, np.ones_like(MEAN))
    np.testing.assert_allclose(by_log_var, 0.5 * (z.numpy()[0] - MEAN), rtol=1e-4, atol=1e-5)


def test_log_prob_per_dimension_equals_scipy():
    z = np.random.default_rng(0).normal(size=(4, *MEAN.shape)).astype("float32")
    expected = stats.norm.logpdf(z, MEAN, STD)
    np.testing.assert_allclose(DiagonalNormal().log_prob_per_dimension(PARAMS, z), expected, rtol=1e-4)


def test_cdf_equals_scipy_and_keeps_leading_axes():
    noise = np.random.default_rng(0).normal(size=(4, *MEAN.shape))
    z = (MEAN + 2 * STD * noise).astype("float32")
    expected = stats.norm.cdf(z, MEAN, STD)
    assert expected.min() < 0.05
    assert expected.max() > 0.95
    np.testing.assert_allclose(DiagonalNormal().cdf(PARAMS, z), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("probability", [1e-3, 0.025, 0.5, 0.8, 0.999])
def test_quantile_equals_scipy(probability):
    expected = stats.norm.ppf(probability, MEAN, STD)
    quantiles = DiagonalNormal().quantile(PARAMS, np.full(MEAN.shape, probability, "float32"))
    np.testing.assert_allclose(quantiles, expected, rtol=1e-4, atol=1e-4)


def test_the_parameters_that_no_gradient_flows_through_are_the_same():
    params = tf.constant(PARAMS)
    with tf.GradientTape() as tape:
        tape.watch(params)
        stopped = DiagonalNormal().stop_gradient(params)
        total = tf.reduce_sum(stopped * params)
    np.testing.assert_array_equal(stopped, PARAMS)
    np.testing.assert_array_equal(tape.gradient(total, params), PARAMS)
