"""The standard normal prior; its closed-form divergence against quadrature and Monte Carlo."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from vae_tf.model import DiagonalNormal, Posterior, Prior, StandardNormal

MEAN = np.array([[0.0, -1.0, 0.5], [2.0, 0.1, -0.3], [0.0, 0.0, 0.0]], "float32")
LOG_VAR = np.array([[-1.0, 0.5, 0.0], [-4.0, 1.0, -0.2], [0.3, 0.0, -2.0]], "float32")
PARAMS = np.concatenate([MEAN, LOG_VAR], axis=-1)
STD = np.exp(0.5 * LOG_VAR.astype("float64"))
NUM_DRAWS = 20_000


class UnitNormal(Posterior):
    """N(mean, I), a family without a closed form in the package; raw parameters are the means."""

    def log_prob(self, params, z):
        return -0.5 * ops.sum(ops.square(z - params) + np.log(2 * np.pi), axis=-1)


def drawn(mean, std, num_draws, seed=0):
    noise = np.random.default_rng(seed).normal(size=(num_draws, *mean.shape))
    return (mean + std * noise).astype("float32")


def log_ratios(z, mean, std):
    """log q - log p for each draw, by scipy."""
    return (stats.norm.logpdf(z, mean, std) - stats.norm.logpdf(z)).sum(axis=-1)


def closed_form(params=PARAMS):
    z = np.zeros((1, len(params), params.shape[-1] // 2), "float32")
    return np.asarray(StandardNormal(z.shape[-1]).kl(DiagonalNormal(), params, z), "float64")


def test_log_prob_equals_scipy_and_keeps_leading_axes():
    z = np.random.default_rng(0).normal(scale=3, size=(2, 5, 4)).astype("float32")
    np.testing.assert_allclose(StandardNormal(4).log_prob(z), stats.norm.logpdf(z).sum(axis=-1), rtol=1e-5)


def test_draws_are_standard_normal_in_the_asked_shape():
    z = np.asarray(StandardNormal(4).sample(10_000, seed=5))
    assert z.shape == (10_000, 4)
    assert z.dtype == np.float32
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
    correlation = np.corrcoef(z, rowvar=False) - np.eye(4)
    np.testing.assert_array_less(np.abs(correlation), 5 / np.sqrt(len(z)))


def test_an_integer_seed_repeats_the_draw_and_another_changes_it():
    prior = StandardNormal(3)
    first = np.asarray(prior.sample(4, seed=1))
    np.testing.assert_array_equal(prior.sample(4, seed=1), first)
    assert not np.array_equal(prior.sample(4, seed=2), first)


def test_closed_form_kl_equals_quadrature():
    expected = np.zeros(MEAN.shape)
    for index, mean in np.ndenumerate(MEAN):
        grid = np.linspace(mean - 12 * STD[index], mean + 12 * STD[index], 20_001)
        density = stats.norm.pdf(grid, mean, STD[index])
        ratio = stats.norm.logpdf(grid, mean, STD[index]) - stats.norm.logpdf(grid)
        expected[index] = np.trapezoid(density * ratio, grid)
    np.testing.assert_allclose(closed_form(), expected.sum(axis=-1), rtol=1e-5)


def test_closed_form_kl_agrees_with_monte_carlo():
    z = drawn(MEAN, STD, NUM_DRAWS)
    estimate = np.asarray(Prior.kl(StandardNormal(3), DiagonalNormal(), PARAMS, z))
    standard_error = log_ratios(z, MEAN, STD).std(axis=0, ddof=1) / np.sqrt(NUM_DRAWS)
    assert estimate.shape == (3,)
    assert (standard_error < 0.05).all()
    assert (np.abs(estimate - closed_form()) < 4 * standard_error).all()


def test_monte_carlo_kl_is_the_mean_log_ratio_of_the_draws():
    z = drawn(MEAN, STD, 5)
    estimate = Prior.kl(StandardNormal(3), DiagonalNormal(), PARAMS, z)
    np.testing.assert_allclose(estimate, log_ratios(z, MEAN, STD).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_posterior_without_closed_form_gets_monte_carlo():
    z = drawn(MEAN, 1.0, NUM_DRAWS)
    estimate = np.asarray(StandardNormal(3).kl(UnitNormal(), MEAN, z))
    standard_error = log_ratios(z, MEAN, 1.0).std(axis=0, ddof=1) / np.sqrt(NUM_DRAWS)
    expected = 0.5 * (MEAN.astype("float64") ** 2).sum(axis=-1)
    assert (np.abs(estimate - expected) <= 4 * standard_error + 1e-5).all()


def test_kl_is_zero_at_the_prior():
    np.testing.assert_array_equal(closed_form(np.zeros((2, 6), "float32")), [0.0, 0.0])


def test_kl_is_never_negative():
    params = np.random.default_rng(1).normal(scale=1.5, size=(2_000, 8)).astype("float32")
    assert closed_form(params).min() > 0


@pytest.mark.parametrize("latent_dim", [0, -1])
def test_latent_dim_below_one_is_refused(latent_dim):
    with pytest.raises(ValueError, match=f"latent_dim={latent_dim}"):
        StandardNormal(latent_dim)
