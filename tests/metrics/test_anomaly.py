"""Anomaly scores against closed forms of models simple enough to have them."""

import math

import keras
import numpy as np
import pytest
from keras import layers
from scipy import special

from vae_tf.metrics.anomaly import (
    likelihood_regret,
    mahalanobis,
    min_validation_examples,
    percentiles,
    score_threshold,
)
from vae_tf.model import ELBO, VAE, Bernoulli, DiagonalNormal, FlatLatents, Gaussian, StandardNormal, build_vae

SHAPE = (8, 8, 1)
LATENT_DIM = 2
SIGMA = 0.5
SCORES = [mahalanobis, likelihood_regret]
GREY = np.random.default_rng(1).random((12, *SHAPE), np.float32)
REFERENCE = np.random.default_rng(2).random((5000, *SHAPE), np.float32)


def affine(mean_kernel, mean_bias, log_var, weights, bias, likelihood):
    """A VAE whose encoder and decoder are affine maps."""
    encoder = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(2 * LATENT_DIM)])
    decoder = keras.Sequential([keras.Input((LATENT_DIM,)), layers.Dense(64), layers.Reshape(SHAPE)])
    kernel = np.concatenate([mean_kernel, np.zeros_like(mean_kernel)], axis=1)
    encoder.layers[-1].set_weights([kernel, np.concatenate([mean_bias, log_var])])
    decoder.layers[0].set_weights([weights, bias])
    latents = FlatLatents(encoder, decoder, DiagonalNormal(), StandardNormal(LATENT_DIM))
    vae = VAE(latents, likelihood, ELBO())
    vae.build((None, *SHAPE))
    return vae


def linear_gaussian(error):
    """x = W z + b + noise, with an encoder whose means are off by `error` and whose variances are e times the best."""
    rng = np.random.default_rng(0)
    weights, bias = 0.3 * rng.standard_normal((LATENT_DIM, 64)), rng.random(64)
    precision = np.eye(LATENT_DIM) + weights @ weights.T / SIGMA**2
    gain = np.linalg.solve(precision, weights / SIGMA**2)
    log_var = -np.log(np.diag(precision)) + 1.0
    vae = affine(gain.T, error - gain @ bias, log_var, weights, bias, Gaussian(SIGMA))
    flat = rng.standard_normal((60, LATENT_DIM)) @ weights + bias + SIGMA * rng.standard_normal((60, 64))
    return vae, flat.reshape(-1, *SHAPE).astype(np.float32), precision


@pytest.mark.parametrize("error", [(0.0, 0.0), (0.4, -0.7)], ids=str)
def test_regret_is_the_divergence_that_a_better_posterior_saves(error):
    # KL(q || p(z | x)) of a normal q is 1/2 (tr(P S) - log det(P S) + d' P d) - 1 with P the true precision; of all
    # diagonal S the best has P_ii S_ii = 1, where the encoder's have e.
    vae, images, precision = linear_gaussian(np.array(error))
    expected = 0.5 * (LATENT_DIM * (math.e - 2) + np.array(error) @ precision @ np.array(error))
    regret = likelihood_regret(vae, [images], [], 0)
    assert abs(regret.mean() - expected) < 4 * regret.std() / math.sqrt(len(images)) + 0.05


def test_regret_is_higher_where_the_encoder_is_wrong():
    vae, images, _ = linear_gaussian(np.array([0.0, 0.0]))
    wrong, _, _ = linear_gaussian(np.array([0.9, 0.0]))
    assert (likelihood_regret(wrong, [images], [], 0) > likelihood_regret(vae, [images], [], 0)).all()


def grey_model():
    """A Bernoulli model with a decoder that ignores the latents, and what numpy makes of its images `(N, Z + 3)`."""
    rng = np.random.default_rng(0)
    kernel, bias, log_var = rng.normal(size=(64, LATENT_DIM)), rng.normal(size=64), np.array([0.2, -0.4])
    vae = affine(kernel, np.zeros(LATENT_DIM), log_var, np.zeros((LATENT_DIM, 64)), bias, Bernoulli())

    def features(images):
        flat = images.reshape(-1, 64).astype(np.float64)
        means = flat @ kernel
        kl = 0.5 * (means**2 + np.exp(log_var) - 1 - log_var).sum(axis=1)
        log_likelihood = flat @ special.log_expit(bias) + (1 - flat) @ special.log_expit(-bias)
        peak = -(special.entr(flat) + special.entr(1 - flat)).sum(axis=1)
        return np.column_stack([means, log_likelihood, kl, peak])

    return vae, features


def test_mahalanobis_is_the_distance_in_units_of_the_references_covariance():
    vae, features = grey_model()
    known, new = features(REFERENCE), features(GREY)
    centred = new - known.mean(axis=0)
    expected = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(np.cov(known.T)), centred)
    # The covariance is shrunk a little.
    np.testing.assert_allclose(mahalanobis(vae, [GREY], [REFERENCE], 0), expected, rtol=0.05)


def test_mahalanobis_of_the_reference_itself_is_the_number_of_coordinates():
    vae, _ = grey_model()
    assert mahalanobis(vae, [REFERENCE], [REFERENCE], 0).mean() == pytest.approx(LATENT_DIM + 3, rel=0.01)


def test_mahalanobis_finds_images_that_are_too_easy():
    vae, _ = grey_model()
    flat = np.full((4, *SHAPE), 0.5, np.float32) + 0.01 * GREY[:4]
    assert mahalanobis(vae, [flat], [REFERENCE], 0).min() > 3 * mahalanobis(vae, [GREY], [REFERENCE], 0).max()


def test_mahalanobis_needs_fewer_reference_images_than_coordinates():
    vae = build_vae(SHAPE, 40, "dense", "plain", hidden_sizes=(16,))
    scores = mahalanobis(vae, [GREY, 1 - REFERENCE[:4] ** 8], [REFERENCE[:20]], 0)
    assert np.isfinite(scores).all()
    assert scores[len(GREY) :].min() > scores[: len(GREY)].max()


@pytest.mark.parametrize("score", SCORES)
def test_score_of_an_image_does_not_depend_on_its_batch(score):
    vae, images, _ = linear_gaussian(np.array([0.4, 0.0]))
    whole = score(vae, [images], [images], 3)
    np.testing.assert_allclose(score(vae, [images[:50], images[50:]], [images], 3), whole, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("score", SCORES)
def test_a_seed_repeats_its_scores_and_another_gives_others(score):
    vae, images, _ = linear_gaussian(np.array([0.4, 0.0]))
    first, again, other = (score(vae, [images], [images], seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("score", SCORES)
def test_scoring_changes_no_weight_and_no_batch_norm_statistic(score):
    vae = build_vae(SHAPE, LATENT_DIM, "dense", "bn", hidden_sizes=(4,))
    before = vae.get_weights()
    score(vae, [GREY], [GREY], 0)
    for weight, old in zip(vae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("score", SCORES)
def test_score_under_a_conditional_model_is_that_of_the_class(score):
    vae = build_vae(SHAPE, LATENT_DIM, "dense", "plain", hidden_sizes=(16,), num_classes=2)
    ones, zeros = np.ones(len(GREY), np.int64), np.zeros(len(GREY), np.int64)
    of_ones, of_zeros = (score(vae, [((GREY, labels),)], [((GREY, ones),)], 0) for labels in (ones, zeros))
    mixed = np.where(np.arange(len(GREY)) < 6, ones, zeros)
    half = score(vae, [((GREY, mixed),)], [((GREY, ones),)], 0)
    np.testing.assert_allclose(half, np.concatenate([of_ones[:6], of_zeros[6:]]), rtol=1e-3, atol=1e-3)
    assert (of_ones != of_zeros).all()


@pytest.mark.parametrize("score", SCORES)
def test_score_is_of_what_a_corrupted_image_was(score):
    vae, images, _ = linear_gaussian(np.array([0.0, 0.0]))
    assert (score(vae, [(images, images + 2)], [images], 0) > score(vae, [images], [images], 0)).all()


def test_percentile_is_the_share_of_validation_scores_that_are_lower():
    scores = np.array([0.5, 1.0, 2.5, 4.0, 9.0])
    assert percentiles(scores, np.array([4.0, 2.0, 1.0, 3.0])).tolist() == [0, 0, 50, 75, 100]


def test_threshold_leaves_room_for_the_score_to_come():
    # Of the 100 ranks that a new score can have among 99, one is above all of them.
    assert score_threshold(np.arange(99.0, 0, -1), 0.99) == 99
    assert score_threshold(np.arange(1.0, 100), 0.5) == 50
    assert score_threshold(np.array([1.0, 3.0]), 0.5) == 2  # half-way between the first and the second third


@pytest.mark.parametrize(("quantile", "required"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99), (0.999, 999)])
def test_threshold_needs_one_validation_example_less_than_there_are_to_one_false_alarm(quantile, required):
    assert min_validation_examples(quantile) == required


def test_false_alarms_are_as_frequent_as_expected_with_the_fewest_validation_examples():
    # A uniform score exceeds a threshold t with probability 1 - t. The highest of 99 has mean 0.99 and standard
    # deviation 0.0099, so the mean of 4,000 has 0.00016; taking it for the quantile 1 would give 0.02.
    drawn = np.random.default_rng(0).random((4000, 99))
    rates = [1 - score_threshold(scores, 0.99) for scores in drawn]
    assert np.mean(rates) == pytest.approx(0.01, abs=0.0005)
