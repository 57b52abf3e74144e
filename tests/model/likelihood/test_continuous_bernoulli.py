import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, optimize, stats

from vae_tf.model import ContinuousBernoulli

LOGITS = np.array([-60.0, -3.0, -0.06, -0.04, 0.0, 1e-4, 0.051, 2.0, 40.0])
PIXEL = (1, 1, 1, 1)


def density(x, logit):
    return np.exp(x * logit) / integrate.quad(lambda t: np.exp(t * logit), 0, 1, epsrel=1e-12)[0]


@pytest.mark.parametrize("logit", LOGITS)
def test_log_prob_is_that_of_the_normalised_density(logit):
    x = np.array([0.0, 0.3, 1.0], "float32").reshape(3, 1, 1, 1)
    log_prob = ContinuousBernoulli().log_prob(np.full((3, 1, 1, 1), logit, "float32"), x)
    np.testing.assert_allclose(log_prob, np.log(density(x.ravel(), logit)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("logit", LOGITS)
def test_mean_is_that_of_the_density(logit):
    expected = integrate.quad(lambda t: t * density(t, logit), 0, 1)[0]
    assert float(ContinuousBernoulli().mean(np.float32(logit))) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("logit", LOGITS)
def test_gradient_is_the_data_minus_the_mean(logit):
    params = tf.constant(logit, tf.float32, PIXEL)
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = ContinuousBernoulli().log_prob(params, np.full(PIXEL, 0.3, "float32"))
    mean = integrate.quad(lambda t: t * density(t, logit), 0, 1)[0]
    assert tape.gradient(log_prob, params).numpy().item() == pytest.approx(0.3 - mean, abs=1e-3)


@pytest.mark.parametrize("logit", [-5.0, 0.0, 0.3, 5.0])
def test_draws_follow_the_density(logit):
    draws = np.ravel(ContinuousBernoulli().sample(np.full((20_000, 1), logit, "float32"), 0))
    below = np.vectorize(lambda x: integrate.quad(density, 0, x, args=(logit,))[0])
    grid = np.linspace(0, 1, 200)
    assert stats.kstest(draws, lambda x: np.interp(x, grid, below(grid))).pvalue > 1e-3


def test_config_comes_back():
    likelihood = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(ContinuousBernoulli()))
    assert (type(likelihood), likelihood.params_size(3)) == (ContinuousBernoulli, 3)


@pytest.mark.parametrize("x", [0.01, 0.3, 0.5, 0.98])
def test_peak_is_the_highest_log_prob_of_any_logit(x):
    normalizer = lambda logit: np.log(np.expm1(logit) / logit)  # noqa: E731  # log of the integral of exp(logit * t)
    best = optimize.minimize_scalar(lambda logit: normalizer(logit) - x * logit, bounds=(-300, 300), method="bounded")
    peak = ContinuousBernoulli().max_log_prob(np.full(PIXEL, x, "float32"))
    np.testing.assert_allclose(peak, [-best.fun], rtol=1e-4, atol=1e-5)


def test_peak_at_the_ends_is_finite_and_higher_than_between():
    ends, between = (np.array(pair, "float32").reshape(2, 1, 1, 1) for pair in ((0.0, 1.0), (0.01, 0.99)))
    peaks = np.asarray(ContinuousBernoulli().max_log_prob(ends))
    assert np.isfinite(peaks).all()
    assert (peaks > np.asarray(ContinuousBernoulli().max_log_prob(between))).all()
    assert peaks[0] == pytest.approx(peaks[1])
