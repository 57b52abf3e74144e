"""The likelihood against a model whose marginal likelihood is known."""

import math

import keras
import numpy as np
import pytest
from keras import layers
from scipy.stats import multivariate_normal

from vae_tf.metrics.elbo import MAX_SAMPLES_PER_BLOCK, NLLEstimator, elbo_per_image, max_batch_size
from vae_tf.model import ELBO, VAE, DiagonalNormal, FlatLatents, Gaussian, StandardNormal, build_vae

SHAPE = (8, 8, 1)
LATENT_DIM = 2
SIGMA = 0.5


@pytest.fixture(scope="module")
def linear():
    """x = W z + b + noise: log p(x) is N(b, W W^T + sigma^2 I). Its encoder is near the true posterior, not at it."""
    rng = np.random.default_rng(0)
    weights, bias = 0.3 * rng.standard_normal((LATENT_DIM, 64)), rng.random(64)
    precision = np.eye(LATENT_DIM) + weights @ weights.T / SIGMA**2
    gain = np.linalg.solve(precision, weights / SIGMA**2)
    encoder = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(2 * LATENT_DIM)])
    decoder = keras.Sequential([keras.Input((LATENT_DIM,)), layers.Dense(64), layers.Reshape(SHAPE)])
    log_var = -np.log(np.diag(precision)) + 1.0
    encoder.layers[-1].set_weights(
        [np.concatenate([gain.T, 0 * gain.T], axis=1), np.concatenate([-gain @ bias, log_var])]
    )
    decoder.layers[0].set_weights([weights, bias])
    latents = FlatLatents(encoder, decoder, DiagonalNormal(), StandardNormal(LATENT_DIM))
    vae = VAE(latents, Gaussian(SIGMA), ELBO())
    vae.build((None, *SHAPE))
    z = rng.standard_normal((60, LATENT_DIM))
    flat = z @ weights + bias + SIGMA * rng.standard_normal((60, 64))
    covariance = weights.T @ weights + SIGMA**2 * np.eye(64)
    exact = -multivariate_normal(bias, covariance).logpdf(flat)
    return vae, flat.reshape(-1, *SHAPE).astype(np.float32), exact


def nll(vae, images, num_samples, seed=0, batch=16):
    parts = [images[start : start + batch] for start in range(0, len(images), batch)]
    return np.concatenate(list(NLLEstimator(vae, num_samples, seed).estimate(parts)))


def test_converges_to_the_marginal_likelihood(linear):
    vae, images, exact = linear
    estimates = nll(vae, np.concatenate([images] * 8), 500).reshape(8, len(images))
    error = estimates.mean(axis=1).std(ddof=1) / math.sqrt(len(estimates))
    assert abs(estimates.mean() - exact.mean()) < 3 * error + 1e-3
    assert error < 0.05


def test_bound_falls_towards_the_likelihood_as_samples_are_added(linear):
    vae, images, exact = linear
    many = np.concatenate([images] * 10)
    means = [nll(vae, many, samples).mean() for samples in (1, 2, 4, 100)]
    assert means == sorted(means, reverse=True)
    assert means[0] > exact.mean() + 0.2


def test_one_sample_is_the_elbo(linear):
    vae, images, _ = linear
    many = np.concatenate([images] * 20)
    difference = nll(vae, many, 1) - elbo_per_image(vae, [many], 0).negative_elbo
    assert abs(difference.mean()) < 4 * difference.std() / math.sqrt(len(many))


@pytest.mark.parametrize("num_samples", [1, MAX_SAMPLES_PER_BLOCK, MAX_SAMPLES_PER_BLOCK + 7])
def test_results_do_not_depend_on_the_batch_size(linear, num_samples):
    vae, images, _ = linear
    whole = nll(vae, images, num_samples, batch=60)
    np.testing.assert_allclose(nll(vae, images, num_samples, batch=7), whole, rtol=1e-5)


def test_elbo_does_not_depend_on_the_batch_size(linear):
    vae, images, _ = linear
    whole = elbo_per_image(vae, [images], 3)
    parts = elbo_per_image(vae, [images[:50], images[50:]], 3)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_parts_add_up_and_match_numpy(linear):
    vae, images, _ = linear
    terms = elbo_per_image(vae, [images], 0)
    np.testing.assert_allclose(terms.negative_elbo, terms.reconstruction_loss + terms.kl_loss, rtol=1e-6)
    params = np.asarray(vae.encoder(images), np.float64)
    mean, log_var = params[:, :LATENT_DIM], params[:, LATENT_DIM:]
    np.testing.assert_allclose(terms.kl_loss, 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(axis=1), rtol=1e-4)


def test_a_seed_repeats_its_numbers_and_another_gives_others(linear):
    vae, images, _ = linear
    np.testing.assert_array_equal(nll(vae, images, 60, seed=1), nll(vae, images, 60, seed=1))
    assert (nll(vae, images, 60, seed=1) != nll(vae, images, 60, seed=2)).all()


def test_blocks_have_noise_of_their_own(linear):
    vae, images, _ = linear
    one_block = nll(vae, images, MAX_SAMPLES_PER_BLOCK)
    two_blocks = nll(vae, images, 2 * MAX_SAMPLES_PER_BLOCK)
    assert np.abs(one_block - two_blocks).max() > 1e-4


def test_evaluation_changes_no_weight_and_no_batch_norm_statistic():
    vae = build_vae(SHAPE, LATENT_DIM, "dense", "bn", hidden_sizes=(4,))
    before = [np.array(weight) for weight in vae.weights]
    state = np.array(vae.seed_generator.state)
    images = np.random.default_rng(0).random((5, *SHAPE), np.float32)
    elbo_per_image(vae, [images], 0)
    nll(vae, images, 3)
    for weight, old in zip(vae.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)
    np.testing.assert_array_equal(vae.seed_generator.state, state)


def test_memory_bound_does_not_grow_with_the_samples():
    vae = build_vae((50, 50, 1), 4)
    assert max_batch_size(vae, 5000) == max_batch_size(vae, MAX_SAMPLES_PER_BLOCK) >= 1
    assert max_batch_size(vae, 1) > max_batch_size(vae, MAX_SAMPLES_PER_BLOCK)
