"""Labelled 2D toy datasets, generated with scikit-learn."""

import numpy as np

NOISE = 0.05
CIRCLES_RATIO = 0.5
BLOB_CENTRES = ((-1.0, -1.0), (1.0, -1.0), (0.0, 1.0))
BLOB_STDDEV = 0.25


def generate_points(name: str, num_points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Generates points of `moons` or `circles` (two classes) or `blobs` (three), roughly within [-1, 1] on both axes.

    Args:
        name: Name of the dataset.
        num_points: Number of points N.
        seed: Random seed.

    Returns:
        The points, float32 `(N, 2)`, and their classes, int64 `(N,)`.
    """
    from sklearn import datasets  # this import is slow, so it is deferred to keep --help fast

    if name == "moons":
        points, classes = datasets.make_moons(num_points, noise=NOISE, random_state=seed)
        points -= (0.5, 0.25)
    elif name == "circles":
        points, classes = datasets.make_circles(num_points, noise=NOISE, factor=CIRCLES_RATIO, random_state=seed)
    else:
        points, classes = datasets.make_blobs(
            num_points, centers=np.array(BLOB_CENTRES), cluster_std=BLOB_STDDEV, random_state=seed
        )
    return points.astype(np.float32), classes.astype(np.int64)
