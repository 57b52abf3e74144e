"""How close generated examples are to real ones, in a feature space."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from scipy.stats import wasserstein_distance
from sklearn.neighbors import NearestNeighbors

NUM_NEIGHBOURS = 5


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Returns the Fréchet distance between two normal distributions fitted to features (Dowson & Landau 1982).

    This is |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), as used by Heusel et al. (2017). It is biased upwards if
    there are few examples, so compare only distances that are computed from equal numbers of examples.

    Args:
        real: Features of real examples `(N, D)`.
        generated: Features of generated examples `(M, D)`.
    """
    real, generated = real.astype(np.float64), generated.astype(np.float64)
    covariance, other = (np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]) for x in (real, generated))
    # (C1 C2)^(1/2) has the trace of (C1^(1/2) C2 C1^(1/2))^(1/2), which is symmetric.
    values, vectors = eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(eigh(root @ other @ root, eigvals_only=True), 0)).sum()
    distance = np.sum((real.mean(axis=0) - generated.mean(axis=0)) ** 2)
    return float(distance + np.trace(covariance) + np.trace(other) - 2 * cross)


class ManifoldMetrics(NamedTuple):
    """The values per example whose means are precision, recall, density and coverage."""

    precision: np.ndarray  # (M,) whether a generated example lies on the manifold of the real examples
    recall: np.ndarray  # (N,) whether a real example lies on the manifold of the generated examples
    density: np.ndarray  # (M,) number of real neighbourhoods that contain a generated example / NUM_NEIGHBOURS
    coverage: np.ndarray  # (N,) whether the neighbourhood of a real example contains a generated one


def manifold_metrics(real: np.ndarray, generated: np.ndarray) -> ManifoldMetrics:
    """Returns precision, recall, density and coverage as one value per example.

    Precision and recall are defined by Kynkäänniemi et al. (2019), density and coverage by Naeem et al. (2020). The
    neighbourhood of a point is the ball whose radius is the distance to its fifth nearest neighbour.

    Args:
        real: Features of real examples `(N, D)`, with N > 5.
        generated: Features of generated examples `(M, D)`, with M > 5.
    """
    real_radii, generated_radii = _radii(real), _radii(generated)
    covered = np.zeros(len(real), bool)
    precision, density, recall = [], [], np.zeros(len(real), bool)
    for start in range(0, len(generated), 1000):
        block = slice(start, start + 1000)
        distances = _distances(real, generated[block])
        inside_real = distances < real_radii[:, np.newaxis]
        precision.append(inside_real.any(axis=0))
        density.append(inside_real.sum(axis=0) / NUM_NEIGHBOURS)
        recall |= (distances < generated_radii[np.newaxis, block]).any(axis=1)
        covered |= inside_real.any(axis=1)
    return ManifoldMetrics(np.concatenate(precision), recall, np.concatenate(density), covered)


def sliced_wasserstein(real: np.ndarray, generated: np.ndarray, seed: int, num_directions: int = 64) -> float:
    """Returns the sliced Wasserstein distance of order 1 (Bonneel et al. 2015).

    This is the earth mover's distance between projections of the points onto a line, averaged over random lines. It is
    biased upwards if there are few examples, so compare it with the distance between two subsets of the data.

    Args:
        real: Points `(N, D)`.
        generated: Points `(M, D)`.
        seed: Random seed for the lines.
        num_directions: Number of lines.
    """
    directions = np.random.default_rng(seed).standard_normal((num_directions, real.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    projections = zip(directions @ real.T, directions @ generated.T, strict=True)
    return float(np.mean([wasserstein_distance(a, b) for a, b in projections]))


def _radii(points: np.ndarray) -> np.ndarray:
    """Returns the distance of each point to its fifth nearest neighbour."""
    # The nearest neighbour of a point is the point itself.
    return NearestNeighbors(n_neighbors=NUM_NEIGHBOURS + 1).fit(points).kneighbors(points)[0][:, -1]


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from sklearn.metrics import pairwise_distances

    return pairwise_distances(a, b)
