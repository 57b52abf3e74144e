import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vae_tf.model import LearnedGaussian, build_vae

RNG = np.random.default_rng(0)
X = RNG.random((2, 4, 3, 3)).astype("float32")
MEANS = RNG.normal(size=(5, *X.shape)).astype("float32")


@pytest.fixture
def likelihood():
    likelihood = LearnedGaussian()
    likelihood.build()
    return likelihood


@pytest.mark.parametrize("raw", [0.0, -3.0, 2.0])
def test_log_prob_equals_scipy(likelihood, raw):
    likelihood.raw_log_sigma.assign(raw)
    sigma = np.exp(float(likelihood.log_sigma))
    expected = stats.norm.logpdf(X, MEANS, sigma).sum(axis=(-3, -2, -1))
    np.testing.assert_allclose(likelihood.log_prob(MEANS, X), expected, rtol=1e-4)


def test_sigma_begins_at_1_and_stays_above_its_bound(likelihood):
    assert float(likelihood.log_sigma) == pytest.approx(0, abs=1e-6)
    likelihood.raw_log_sigma.assign(-100.0)
    assert float(likelihood.log_sigma) == pytest.approx(-6)


def test_sigma_learns_the_spread_of_the_data(likelihood):
    x = RNG.normal(0.5, 0.2, (1, 100, 100, 1)).astype("float32")
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(150):
        with tf.GradientTape() as tape:
            loss = -likelihood.log_prob(np.full_like(x, 0.5), x)[0]
        optimizer.apply(tape.gradient(loss, likelihood.trainable_weights), likelihood.trainable_weights)
    assert np.exp(float(likelihood.log_sigma)) == pytest.approx(0.2, rel=0.02)


def test_draws_have_mean_and_spread(likelihood):
    likelihood.raw_log_sigma.assign(-1.0)
    draws = np.ravel(likelihood.sample(np.full((20_000, 1), 0.3, "float32"), 0))
    assert stats.kstest(draws, stats.norm(0.3, np.exp(float(likelihood.log_sigma))).cdf).pvalue > 1e-3


def test_sigma_is_trained_with_the_model_and_saved(tmp_path):
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), latent_dim=2, arch="dense", variant="plain", likelihood="learned_gaussian")
    vae.compile(keras.optimizers.Adam(1e-2))
    vae.fit(RNG.random((64, 8, 8, 1)).astype("float32"), epochs=2, verbose=0)
    log_sigma = float(vae.likelihood.log_sigma)
    assert log_sigma < -0.01
    vae.save(tmp_path / "vae.keras")
    assert float(keras.saving.load_model(tmp_path / "vae.keras").likelihood.log_sigma) == pytest.approx(log_sigma)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0, 5.0])
def test_sigma_starts_at_the_given_value(sigma):
    likelihood = LearnedGaussian(sigma)
    likelihood.build()
    assert float(np.exp(likelihood.log_sigma)) == pytest.approx(sigma, rel=1e-4)
    assert LearnedGaussian.from_config(likelihood.get_config()).sigma == sigma


@pytest.mark.parametrize("sigma", [0.0, -1.0, 0.002, math.inf, math.nan])
def test_sigma_begins_above_its_bound(sigma):
    with pytest.raises(ValueError, match="sigma must be a finite number greater than"):
        LearnedGaussian(sigma)
