import numpy as np
import pytest

from vae_tf.metrics.latents import active_units, mutual_information, normal_kl, project_to_2d


def test_active_units_counts_means_that_vary_by_more_than_a_hundredth():
    column = np.resize([-1.0, 1.0], 200)
    means = np.stack([0.2 * column, 0.05 * column, np.full(200, 7.0)], axis=1)  # variances 0.04, 0.0025, 0
    assert active_units(means, seed=0).value == 1


def test_normal_kl_of_all_dimensions_adds_up_to_the_closed_form():
    rng = np.random.default_rng(0)
    means, log_vars = rng.standard_normal((2, 30, 4))
    per_dimension = normal_kl(means, log_vars)
    expected = 0.5 * (means**2 + np.exp(log_vars) - 1 - log_vars).sum(axis=1).mean()
    assert per_dimension.sum() == pytest.approx(expected)
    assert normal_kl(np.zeros((5, 2)), np.zeros((5, 2))).tolist() == [0, 0]


def test_latents_that_ignore_the_data_carry_no_information():
    assert mutual_information(np.zeros((100, 3)), np.zeros((100, 3)), 0).value == pytest.approx(0, abs=1e-9)


def test_posteriors_that_do_not_overlap_identify_each_example():
    estimate = mutual_information(100.0 * np.eye(50), np.full((50, 50), -4.0), 0)
    assert estimate.value == pytest.approx(np.log(50))
    assert "log(50)" in estimate.note


def test_information_of_a_linear_gaussian_channel():
    signal, noise = 1.0, 0.5  # standard deviations; I = log(1 + signal^2 / noise^2) / 2
    means = signal * np.random.default_rng(1).standard_normal((3000, 1))
    estimate = mutual_information(means, np.full((3000, 1), 2 * np.log(noise)), 0)
    assert abs(estimate.value - 0.5 * np.log(1 + (signal / noise) ** 2)) < 4 * estimate.standard_error + 0.01


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_the_plane_of_few_latents_are_the_latents_themselves(latent_dim):
    means = np.random.default_rng(0).standard_normal((20, latent_dim)).astype(np.float32)
    plane = project_to_2d(means)
    np.testing.assert_array_equal(plane.points[:, :latent_dim], means)
    assert not plane.points[:, latent_dim:].any()
    assert (plane.points.shape, plane.explained_variance_ratio, plane.is_projected) == ((20, 2), 1.0, False)


def test_the_plane_of_many_latents_holds_the_largest_eigenvalues_of_their_covariance():
    means = np.random.default_rng(0).standard_normal((300, 6)) @ np.diag([0.1, 3, 0.5, 0.2, 2, 0.3]) + 5
    plane = project_to_2d(means)
    eigenvalues = np.linalg.eigvalsh(np.cov(means, rowvar=False))[::-1]
    np.testing.assert_allclose(np.cov(plane.points, rowvar=False), np.diag(eigenvalues[:2]), rtol=1e-4, atol=1e-4)
    assert plane.explained_variance_ratio == pytest.approx(eigenvalues[:2].sum() / eigenvalues.sum())
    assert plane.is_projected
