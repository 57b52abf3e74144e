"""Sample quality against closed forms and the published implementation."""

import numpy as np
import prdc
import pytest
from scipy.stats import wasserstein_distance

from vae_tf.metrics.generation import NUM_NEIGHBOURS, frechet_distance, manifold_metrics, sliced_wasserstein


def with_moments(n, mean, covariance, seed):
    """Rows whose sample mean and covariance are exactly these."""
    rows = np.random.default_rng(seed).standard_normal((n, len(mean)))
    rows -= rows.mean(axis=0)
    rows @= np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return rows @ np.linalg.cholesky(covariance).T + mean


def test_frechet_distance_of_two_known_normals_that_commute():
    first = with_moments(50, np.array([0.0, 1.0]), np.diag([4.0, 1.0]), 0)
    second = with_moments(70, np.array([3.0, 1.0]), np.diag([1.0, 9.0]), 1)
    # |difference of means|^2 + sum of (difference of standard deviations)^2
    assert frechet_distance(first, second) == pytest.approx(9 + (2 - 1) ** 2 + (1 - 3) ** 2)


def test_frechet_distance_of_normals_that_do_not_commute():
    rng = np.random.default_rng(2)
    a, b = (x @ x.T + np.eye(3) for x in rng.standard_normal((2, 3, 3)))
    root = np.sqrt(np.linalg.eigvals(a @ b).real).sum()
    distance = frechet_distance(with_moments(40, np.zeros(3), a, 0), with_moments(40, np.ones(3), b, 1))
    assert distance == pytest.approx(3 + np.trace(a) + np.trace(b) - 2 * root)


def test_frechet_distance_to_itself_is_zero():
    rows = np.random.default_rng(0).standard_normal((30, 5))
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_manifold_scores_match_the_published_implementation(shift):
    rng = np.random.default_rng(0)
    real, generated = rng.standard_normal((300, 4)), rng.standard_normal((1300, 4)) + shift
    expected = prdc.compute_prdc(real, generated, nearest_k=NUM_NEIGHBOURS)
    scores = manifold_metrics(real, generated)
    for name, value in scores._asdict().items():
        assert value.mean() == pytest.approx(expected[name]), name


def test_sliced_wasserstein_on_a_line_is_the_distance_itself():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 1)), rng.normal(size=(70, 1)) * 2
    assert sliced_wasserstein(a, b, seed=0) == pytest.approx(wasserstein_distance(a[:, 0], b[:, 0]))


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection():
    """Over directions of a plane, the mean of |cos| is 2 / pi."""
    points = np.random.default_rng(0).normal(size=(30, 2))
    shifted = points + np.array([3.0, 4.0])
    assert sliced_wasserstein(points, shifted, 0, 20_000) == pytest.approx(5 * 2 / np.pi, rel=0.02)


def test_sliced_wasserstein_to_itself_is_zero():
    points = np.random.default_rng(0).normal(size=(30, 3))
    assert sliced_wasserstein(points, points[::-1], seed=0) == pytest.approx(0)
