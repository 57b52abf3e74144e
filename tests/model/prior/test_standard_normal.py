"""The standard normal prior against scipy."""

import numpy as np
import pytest
from scipy import stats

from vae_tf.model import StandardNormal


def test_log_prob_equals_scipy_and_keeps_leading_axes():
    z = np.random.default_rng(0).normal(scale=3, size=(2, 5, 4)).astype("float32")
    np.testing.assert_allclose(StandardNormal(4).log_prob(z), stats.norm.logpdf(z).sum(axis=-1), rtol=1e-5)


def test_log_prob_per_dimension_equals_scipy():
    z = np.random.default_rng(0).normal(scale=3, size=(2, 5, 4)).astype("float32")
    np.testing.assert_allclose(StandardNormal(4).log_prob_per_dimension(z), stats.norm.logpdf(z), rtol=1e-5)


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


def test_a_temperature_scales_the_draws():
    prior = StandardNormal(3)
    np.testing.assert_allclose(prior.sample(4, seed=1, temperature=0.5), 0.5 * np.asarray(prior.sample(4, seed=1)))


@pytest.mark.parametrize("latent_dim", [0, -1])
def test_latent_dim_below_one_is_refused(latent_dim):
    with pytest.raises(ValueError, match=f"latent_dim={latent_dim}"):
        StandardNormal(latent_dim)
