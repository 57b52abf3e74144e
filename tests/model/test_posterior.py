"""The diagonal normal posterior against scipy and its own definition."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vae_tf.model import DiagonalNormal

MEAN = np.array([[-1.5, 0.0, 2.0], [0.3, -0.2, 10.0]], "float32")
LOG_VAR = np.array([[-3.0, 0.0, 1.5], [0.7, -8.0, -1.0]], "float32")
PARAMS = np.concatenate([MEAN, LOG_VAR], axis=-1)
STD = np.exp(0.5 * LOG_VAR.astype("float64"))


@pytest.fixture(scope="module")
def draws():
    """40,000 draws for each of the two examples, `(40000, 2, 3)`."""
    repeated = np.broadcast_to(PARAMS, (40_000, *PARAMS.shape))
    return np.asarray(DiagonalNormal().sample(repeated, seed=3), "float64")


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


def test_draws_are_reparameterized():
    mean, log_var = tf.constant(MEAN), tf.constant(LOG_VAR)
    with tf.GradientTape() as tape:
        tape.watch((mean, log_var))
        z = DiagonalNormal().sample(tf.concat([mean, log_var], axis=-1), seed=1)
    by_mean, by_log_var = tape.gradient(z, (mean, log_var))
    np.testing.assert_array_equal(by_mean, np.ones_like(MEAN))
    np.testing.assert_allclose(by_log_var, 0.5 * (z.numpy() - MEAN), rtol=1e-4, atol=1e-5)


def test_an_integer_seed_repeats_the_draw_and_another_changes_it():
    posterior = DiagonalNormal()
    first = np.asarray(posterior.sample(PARAMS, seed=1))
    np.testing.assert_array_equal(posterior.sample(PARAMS, seed=1), first)
    assert not np.array_equal(posterior.sample(PARAMS, seed=2), first)


def test_a_seed_generator_moves_on_between_draws():
    generator = keras.random.SeedGenerator(1)
    first = np.asarray(DiagonalNormal().sample(PARAMS, generator))
    assert not np.array_equal(DiagonalNormal().sample(PARAMS, generator), first)
