"""What the latents carry: active units, divergence by dimension, mutual information."""

import numpy as np
from scipy.special import logsumexp

from vae_tf.metrics.estimate import Estimate, bootstrap_error, mean_estimate

ACTIVE_VARIANCE = 0.01


def active_units(means: np.ndarray, seed: int) -> Estimate:
    """Returns the number of latent dimensions whose posterior mean varies over the data by more than 0.01.

    Source: Burda et al. 2016, appendix C.

    Args:
        means: Posterior means `(N, Z)`.
        seed: Seed of the bootstrap.
    """

    def count(rows: np.ndarray) -> float:
        return float(np.sum(rows.var(axis=0) > ACTIVE_VARIANCE))

    return Estimate(count(means), "latent dimensions", bootstrap_error(count, (means,), seed), len(means), seed)


def kl_per_dimension(means: np.ndarray, log_vars: np.ndarray) -> np.ndarray:
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
    return mean_estimate(values, "nats", seed, num_samples=1, note=note)
