import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import log_softmax, logsumexp

from vae_tf.model import DiscretizedLogisticMixture, build_vae

LEVELS = np.arange(256, dtype="float32")
RNG = np.random.default_rng(0)


def reference(params, levels, num_components):
    """Log-probabilities of pixels `(..., C)` of levels 0..255, from scipy's logistic distribution."""
    parts = params.astype("float64").reshape(*params.shape[:-1], num_components, -1)
    channels = levels.shape[-1]
    start = np.linspace(-1, 1, num_components + 2)[1:-1, np.newaxis]
    means, scales = parts[..., 1 : 1 + channels] + start, np.exp(np.maximum(parts[..., 1 + channels :] - 2, -7))
    centred = levels[..., np.newaxis, :] * 2 / 255 - 1
    upper = np.where(centred > 0.999, 1.0, stats.logistic.cdf(centred + 1 / 255, means, scales))
    lower = np.where(centred < -0.999, 0.0, stats.logistic.cdf(centred - 1 / 255, means, scales))
    return logsumexp(log_softmax(parts[..., 0], axis=-1) + np.log(upper - lower).sum(axis=-1), axis=-1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_components", [1, 5])
def test_log_prob_equals_scipy(channels, num_components):
    likelihood = DiscretizedLogisticMixture(num_components)
    levels = RNG.integers(0, 256, (2, 4, 3, channels)).astype("float32")
    params = RNG.normal(scale=0.3, size=(3, *levels.shape[:-1], likelihood.params_size(channels))).astype("float32")
    expected = reference(params, np.broadcast_to(levels, (3, *levels.shape)), num_components).sum(axis=(-2, -1))
    np.testing.assert_allclose(likelihood.log_prob(params, levels / 255), expected, rtol=1e-4)


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
def test_probabilities_of_all_levels_add_up_to_1(scale):
    likelihood = DiscretizedLogisticMixture(4)
    params = RNG.normal(scale=scale, size=(1, 1, 1, likelihood.params_size(1))).astype("float32")
    every = np.broadcast_to(params, (256, 1, 1, params.shape[-1]))
    log_probs = likelihood.log_prob(every, LEVELS.reshape(256, 1, 1, 1) / 255)
    assert np.exp(np.asarray(log_probs, "float64")).sum() == pytest.approx(1, rel=1e-3)


def test_values_between_levels_are_rounded():
    likelihood = DiscretizedLogisticMixture()
    params = RNG.normal(size=(1, 1, 1, likelihood.params_size(1))).astype("float32")
    values = likelihood.log_prob(params, np.full((1, 1, 1, 1), 100.4 / 255, "float32"))
    np.testing.assert_allclose(values, likelihood.log_prob(params, np.full((1, 1, 1, 1), 100 / 255, "float32")))


@pytest.mark.parametrize("extreme", [-60.0, 60.0])
def test_gradients_are_finite_for_extreme_parameters(extreme):
    likelihood = DiscretizedLogisticMixture(2)
    params = tf.fill((3, 1, 1, likelihood.params_size(1)), extreme)
    with tf.GradientTape() as tape:
        tape.watch(params)
        log_prob = likelihood.log_prob(params, np.array([0.0, 0.5, 1.0], "float32").reshape(3, 1, 1, 1))
    assert np.isfinite(log_prob).all()
    assert np.isfinite(tape.gradient(log_prob, params)).all()


def test_draws_have_the_probabilities_of_the_levels():
    likelihood = DiscretizedLogisticMixture(3)
    params = RNG.normal(size=(1, 1, 1, likelihood.params_size(1))).astype("float32")
    draws = np.asarray(likelihood.sample(np.repeat(params, 20_000, axis=0), 0)).ravel() * 255
    np.testing.assert_allclose(draws, draws.round(), atol=1e-3)
    log_probs = likelihood.log_prob(np.repeat(params, 256, axis=0), LEVELS.reshape(256, 1, 1, 1) / 255)
    expected = np.exp(np.asarray(log_probs, "float64")).reshape(16, 16).sum(axis=1)
    counts = np.bincount((draws.round() // 16).astype(int), minlength=16)
    seen = expected > 1e-4
    assert stats.chisquare(counts[seen], expected[seen] / expected[seen].sum() * counts[seen].sum()).pvalue > 1e-3


def test_mean_lies_in_0_to_1_and_weighs_the_components():
    likelihood = DiscretizedLogisticMixture(2)
    params = np.array([[0.0, 0.0, 0.0, np.log(3), 0.0, 0.0]], "float32")  # logit, mean, log-scale of each component
    # Components begin at -1/3 and 1/3, which are 1/3 and 2/3 in data units.
    np.testing.assert_allclose(likelihood.mean(params), [[0.25 / 3 + 0.75 * 2 / 3]], rtol=1e-5)
    assert 0 <= float(likelihood.mean(1000 * params - 500)[0, 0]) <= 1


def test_components_are_in_the_config():
    likelihood = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(DiscretizedLogisticMixture(7))
    )
    assert likelihood.params_size(1) == 21


def test_fewer_than_one_component_is_refused():
    with pytest.raises(ValueError, match=r"num_components must be at least 1\. Received: num_components=0"):
        DiscretizedLogisticMixture(0)


@pytest.mark.parametrize("channels", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_model_trains_and_draws(channels):
    keras.utils.set_random_seed(0)
    x = (RNG.integers(0, 256, (64, 8, 8, channels)) / 255).astype("float32")
    vae = build_vae((8, 8, channels), latent_dim=2, arch="dense", variant="plain", likelihood="logistic_mixture")
    vae.compile(keras.optimizers.Adam(3e-3))
    losses = vae.fit(x, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert vae.sample(3, seed=0).shape == (3, 8, 8, channels)
