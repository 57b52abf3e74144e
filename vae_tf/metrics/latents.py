"""Metrics of the latents: active units, KL per dimension and mutual information; and their 2D PCA projection."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from vae_tf.metrics.estimate import Estimate, bootstrap_error
from vae_tf.metrics.metric import METRICS

MIN_ACTIVE_VARIANCE = 0.01


class Projection2D(NamedTuple):
    """Posterior means in two dimensions.

    Attributes:
        points: float32 `(N, 2)`.
        explained_variance_ratio: Fraction of the variance of the means that the projection keeps, in [0, 1].
        is_projected: Whether the axes are principal components rather than the latents themselves.
    """

    points: np.ndarray
    explained_variance_ratio: float
    is_projected: bool


def active_units(means: np.ndarray, seed: int) -> Estimate:
    """Returns the number of latent dimensions whose posterior mean has a variance above 0.01 over the data.

    Source: Burda et al. 2016, appendix C.

    Args:
        means: Posterior means `(N, Z)`.
        seed: Random seed for the bootstrap.
    """

    def count(rows: np.ndarray) -> float:
        return float(np.sum(rows.var(axis=0) > MIN_ACTIVE_VARIANCE))

    return Estimate(
        count(means), METRICS["active_units"].unit, bootstrap_error(count, (means,), seed), len(means), seed
    )


def normal_kl(means: np.ndarray, log_vars: np.ndarray) -> np.ndarray:
    """Returns KL(q(z_j | x) || N(0, 1)) averaged over the data, float64 `(Z,)`, in nats.

    Args:
        means: Posterior means `(N, Z)`.
        log_vars: Log variance of each posterior `(N, Z)`.
    """
    means, log_vars = means.astype(np.float64), log_vars.astype(np.float64)
    return (0.5 * (means**2 + np.exp(log_vars) - 1 - log_vars)).mean(axis=0)


def mutual_information(means: np.ndarray, log_vars: np.ndarray, seed: int) -> Estimate:
    """Returns I(x; z) under q: E[log q(z | x) - log q(z)], where q(z) is the mixture of all N posteriors.

    The value can't exceed log N; the note says so if it is close. Source: Hoffman & Johnson 2016.

    Args:
        means: Posterior means `(N, Z)`.
        log_vars: Log variance of each posterior `(N, Z)`.
        seed: Random seed for the samples, one per example.
    """
    means, log_vars = means.astype(np.float64), log_vars.astype(np.float64)
    z = means + np.exp(0.5 * log_vars) * np.random.default_rng(seed).standard_normal(means.shape)
    precisions = np.exp(-log_vars)
    # sum_d (z_d - m_d)^2 p_d for every pair, expanded into three matrix products.
    squares = (z**2) @ precisions.T - 2 * z @ (means * precisions).T + np.sum(means**2 * precisions, axis=1)
    log_q = -0.5 * (squares + np.sum(log_vars, axis=1) + means.shape[1] * np.log(2 * np.pi))
    values = np.diag(log_q) - (logsumexp(log_q, axis=1) - np.log(len(means)))
    upper_bound = np.log(len(means))
    note = f"can't exceed log({len(means)}) = {upper_bound:.2f}" if values.mean() > 0.9 * upper_bound else ""
    return METRICS["mutual_information"].mean(values, seed, num_samples=1, note=note)


def project_to_2d(means: np.ndarray) -> Projection2D:
    """Returns the 2D PCA projection of the posterior means; if Z is at most 2, the latents themselves.

    Args:
        means: Posterior means `(N, Z)`, with N >= 2. If Z is 1, the second coordinate is 0.
    """
    if means.shape[1] <= 2:
        return Projection2D(np.pad(means, ((0, 0), (0, 2 - means.shape[1]))), 1.0, False)
    from sklearn.decomposition import PCA  # imported here because it takes a second, and training does not need it

    pca = PCA(2, svd_solver="full")  # the other solvers are random or less precise
    points = pca.fit_transform(means).astype(np.float32)
    return Projection2D(points, float(pca.explained_variance_ratio_.sum()), True)
