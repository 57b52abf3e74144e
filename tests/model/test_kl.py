"""The divergence from a posterior to a prior: the closed form against quadrature and the mean over draws."""

import numpy as np
import pytest
from keras import ops
from scipy import stats

from vae_tf.model import DiagonalNormal, Posterior, StandardNormal, kl
from vae_tf.model.kl import kl_divergence, register_kl

MEAN = np.array([[0.0, -1.0, 0.5], [2.0, 0.1, -0.3], [0.0, 0.0, 0.0]], "float32")
LOG_VAR = np.array([[-1.0, 0.5, 0.0], [-4.0, 1.0, -0.2], [0.3, 0.0, -2.0]], "float32")
PARAMS = np.concatenate([MEAN, LOG_VAR], axis=-1)
STD = np.exp(0.5 * LOG_VAR.astype("float64"))
NUM_DRAWS = 20_000


class UnitNormal(Posterior):
    """N(mean, I), a family without a closed form in the package; raw parameters are the means."""

    def log_prob(self, params, z):
        return -0.5 * ops.sum(ops.square(z - params) + np.log(2 * np.pi), axis=-1)


class OtherPosterior(DiagonalNormal):
    """A subclass, which may have another density."""


class OtherPrior(StandardNormal):
    """A subclass, which may have another density."""


def drawn(mean, std, num_draws, seed=0):
    noise = np.random.default_rng(seed).normal(size=(num_draws, *mean.shape))
    return (mean + std * noise).astype("float32")


def log_ratios(z, mean, std):
    """log q - log p for each draw, by scipy."""
    return (stats.norm.logpdf(z, mean, std) - stats.norm.logpdf(z)).sum(axis=-1)


def divergence(posterior, params, prior, z):
    """What the registry makes of draws z `(K, B, Z)`, in float64."""
    values = kl_divergence(posterior, params, prior, posterior.log_prob(params, z), prior.log_prob(z))
    return np.asarray(values, "float64")


def closed_form(params=PARAMS):
    z = np.zeros((1, len(params), params.shape[-1] // 2), "float32")
    return divergence(DiagonalNormal(), params, StandardNormal(z.shape[-1]), z)


def from_draws(z, mean=MEAN):
    return divergence(OtherPosterior(), np.concatenate([mean, LOG_VAR], axis=-1), StandardNormal(3), z)


def test_closed_form_equals_quadrature_in_every_dimension():
    expected = np.zeros(MEAN.shape)
    for index, mean in np.ndenumerate(MEAN):
        grid = np.linspace(mean - 12 * STD[index], mean + 12 * STD[index], 20_001)
        density = stats.norm.pdf(grid, mean, STD[index])
        ratio = stats.norm.logpdf(grid, mean, STD[index]) - stats.norm.logpdf(grid)
        expected[index] = np.trapezoid(density * ratio, grid)
    np.testing.assert_allclose(closed_form(), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(closed_form().sum(axis=-1), expected.sum(axis=-1), rtol=1e-5)


def test_closed_form_agrees_with_the_draws():
    z = drawn(MEAN, STD, NUM_DRAWS)
    estimate = from_draws(z)
    standard_error = log_ratios(z, MEAN, STD).std(axis=0, ddof=1) / np.sqrt(NUM_DRAWS)
    assert estimate.shape == (3, 1)
    assert (standard_error < 0.05).all()
    assert (np.abs(estimate[:, 0] - closed_form().sum(axis=-1)) < 4 * standard_error).all()


def test_without_a_closed_form_it_is_the_mean_log_ratio_of_the_draws():
    z = drawn(MEAN, STD, 5)
    np.testing.assert_allclose(from_draws(z)[:, 0], log_ratios(z, MEAN, STD).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_posterior_without_a_closed_form_is_measured_by_its_draws():
    z = drawn(MEAN, 1.0, NUM_DRAWS)
    estimate = divergence(UnitNormal(), MEAN, StandardNormal(3), z)[:, 0]
    standard_error = log_ratios(z, MEAN, 1.0).std(axis=0, ddof=1) / np.sqrt(NUM_DRAWS)
    expected = 0.5 * (MEAN.astype("float64") ** 2).sum(axis=-1)
    assert (np.abs(estimate - expected) <= 4 * standard_error + 1e-5).all()


@pytest.mark.parametrize(
    ("posterior", "prior"),
    [(OtherPosterior(), StandardNormal(3)), (DiagonalNormal(), OtherPrior(3)), (OtherPosterior(), OtherPrior(3))],
    ids=["posterior", "prior", "both"],
)
def test_a_subclass_does_not_get_the_closed_form_of_its_base(posterior, prior):
    z = drawn(MEAN, STD, 5)
    estimate = divergence(posterior, PARAMS, prior, z)
    assert estimate.shape == (3, 1)
    np.testing.assert_allclose(estimate[:, 0], log_ratios(z, MEAN, STD).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_closed_form_can_be_registered_for_a_pair_of_classes(monkeypatch):
    monkeypatch.setattr(kl, "_CLOSED_FORMS", dict(kl._CLOSED_FORMS))

    @register_kl(UnitNormal, StandardNormal)
    def half_the_square(posterior, params, prior):
        return 0.5 * ops.square(params)

    z = drawn(MEAN, 1.0, 1)
    np.testing.assert_allclose(divergence(UnitNormal(), MEAN, StandardNormal(3), z), 0.5 * MEAN**2, rtol=1e-6)


def test_it_is_zero_at_the_prior():
    np.testing.assert_array_equal(closed_form(np.zeros((2, 6), "float32")), np.zeros((2, 3)))


def test_closed_form_is_never_negative():
    params = np.random.default_rng(1).normal(scale=1.5, size=(2_000, 8)).astype("float32")
    assert closed_form(params).min() >= 0
    assert closed_form(params).sum(axis=-1).min() > 0
