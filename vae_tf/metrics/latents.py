"""What the latents carry: active units, divergence by dimension, mutual information."""

from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp
from sklearn.decomposition import PCA

from vae_tf.metrics.estimate import Estimate, bootstrap_error
from vae_tf.metrics.metric import METRICS

ACTIVE_VARIANCE = 0.01


class Plane(NamedTuple):
    """Posterior means in two dimensions.

    Attributes:
        points: float32 `(N, 2)`.
        share: Part of the means' variance that is seen, in [0, 1].
        is_projected: Whether the axes are principal components instead of the latents themselves.
    """

    points: np.ndarray
    share: float
    is_projected: bool


def active_units(means: np.ndarray, seed: int) -> Estimate:
    """Returns the number of latent dimensions whose posterior mean varies over the data by more than 0.01.

    Source: Burda et al. 2016, appendix C.

    Args:
        means: Posterior means `(N, Z)`.
        seed: Seed of the bootstrap.
    """

    def count(rows: np.ndarray) -> float:
        return float(np.sum(rows.var(axis=0) > ACTIVE_VARIANCE))

    return Estimate(
        count(means), METRICS["active_units"].unit, bootstrap_error(count, (means,), seed), len(means), seed
    )


def normal_kl(means: np.ndarray, log_vars: np.ndarray) -> np.ndarray:
    """Returns KL(q(z_j | x) || N(0, 1)) averaged over the data, float64 `(Z,)`, in nats.

    Args:
        means: Posterior means `(N, Z)`.
        log_vars: Logarithms of the posterior variances `(N, Z)`.
    """
    means, log_vars = means.astype(np.float64), log_vars.astype(np.float64)
    return (0.5 * (means**2 + np.exp(log_vars) - 1 - log_vars)).mean(axis=0)


def mutual_information(means: np.ndarray, log_vars: np.ndarray, seed: int) -> Estimate:
    """Returns I(x; z) under q: E[log q(z | x) - log q(z)], q(z) the mixture of all N posteriors.

    At most log N by construction, which the note says where it is near. Source: Hoffman & Johnson 2016.

    Args:
        means: Posterior means `(N, Z)`.
        log_vars: Logarithms of the posterior variances `(N, Z)`.
        seed: Seed of the one draw per image.
    """
    means, log_vars = means.astype(np.float64), log_vars.astype(np.float64)
    z = means + np.exp(0.5 * log_vars) * np.random.default_rng(seed).standard_normal(means.shape)
    precisions = np.exp(-log_vars)
    # sum_d (z_d - m_d)^2 p_d for every pair, expanded so that it is three matrix products.
    squares = (z**2) @ precisions.T - 2 * z @ (means * precisions).T + np.sum(means**2 * precisions, axis=1)
    log_q = -0.5 * (squares + np.sum(log_vars, axis=1) + means.shape[1] * np.log(2 * np.pi))
    values = np.diag(log_q) - (logsumexp(log_q, axis=1) - np.log(len(means)))
    ceiling = np.log(len(means))
    note = f"can't exceed log({len(means)}) = {ceiling:.2f}" if values.mean() > 0.9 * ceiling else ""
    return METRICS["mutual_information"].mean(values, seed, num_samples=1, note=note)


def principal_plane(means: np.ndarray) -> Plane:
    """Returns the plane in which posterior means vary most: the latents themselves where there are at most two.

    Args:
        means: Posterior means `(N, Z)`, N at least 2; a single latent gets 0 as its other coordinate.
    """
    if means.shape[1] <= 2:
        return Plane(np.pad(means, ((0, 0), (0, 2 - means.shape[1]))), 1.0, False)
    pca = PCA(2, svd_solver="full")  # the others draw at random, or lose digits
    points = pca.fit_transform(means).astype(np.float32)
    return Plane(points, float(pca.explained_variance_ratio_.sum()), True)
