"""Noise per example against scipy."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vae_tf.backend.kernels import normal_from_seeds

SEEDS = tf.constant([[0, 0], [0, 1], [-7, 2**31 - 1]])


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_noise_is_standard_normal_and_independent(latent_dim):
    noise = np.asarray(normal_from_seeds((20_000, 3, latent_dim), SEEDS), "float64")
    assert noise.shape == (20_000, 3, latent_dim)
    columns = noise.reshape(20_000, -1)
    assert min(stats.kstest(column, "norm").pvalue for column in columns.T) > 1e-4
    for power in (1, 2):  # Box-Muller pairs share a radius: their squares must not move together either
        correlation = np.corrcoef(columns**power, rowvar=False)
        assert np.abs(correlation - np.eye(3 * latent_dim)).max() < 5 / np.sqrt(20_000)


def test_noise_of_an_example_depends_on_its_seed_alone():
    together = normal_from_seeds((4, 3, 5), SEEDS)
    alone = normal_from_seeds((4, 1, 5), SEEDS[1:2])
    np.testing.assert_allclose(together[:, 1:2], alone, rtol=1e-5, atol=1e-6)
