"""Reconstruction metrics, which compare each reconstruction with its original."""

from collections.abc import Callable

import numpy as np

from vae_tf.backend.kernels import structural_similarity

SSIM_WINDOW = 11
BATCH_SIZE = 256


def mean_squared_error(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Returns the squared error averaged over pixels and channels, float64 `(N,)`.

    Args:
        originals: Images `(N, H, W, C)` in [0, 1].
        reconstructions: Images of the same shape; values outside [0, 1] are clipped, as for display.
    """
    error = originals.astype(np.float64) - np.clip(reconstructions, 0, 1)
    return (error**2).mean(axis=(1, 2, 3))


def row_mean_squared_error(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Returns the squared error averaged over features, float64 `(N,)`, for rows `(N, F)`."""
    return ((originals.astype(np.float64) - reconstructions) ** 2).mean(axis=1)


def psnr(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Returns the peak signal-to-noise ratio 10 log10(1 / MSE) in dB, float64 `(N,)`.

    See `mean_squared_error` for the arguments.
    """
    return -10 * np.log10(np.maximum(mean_squared_error(originals, reconstructions), 1e-10))


def ssim(originals: np.ndarray, reconstructions: np.ndarray) -> np.ndarray:
    """Returns the structural similarity (Wang et al. 2004), at most 1, float64 `(N,)`.

    The Gaussian window is 11 pixels wide as in the paper, or as wide as the image if the image is smaller. See
    `mean_squared_error` for the arguments.
    """
    window = min(SSIM_WINDOW, *originals.shape[1:3])
    clipped = np.clip(reconstructions, 0, 1).astype(np.float32)
    values = [
        structural_similarity(originals[i : i + BATCH_SIZE], clipped[i : i + BATCH_SIZE], window)
        for i in range(0, len(originals), BATCH_SIZE)
    ]
    return np.concatenate(values).astype(np.float64)


# Name of a metric -> function (originals, reconstructions) -> float64 `(N,)`.
MetricFunctions = dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]
IMAGE_METRICS: MetricFunctions = {
    "reconstruction_mse": mean_squared_error,
    "reconstruction_psnr": psnr,
    "reconstruction_ssim": ssim,
}
ROW_METRICS: MetricFunctions = {"reconstruction_mse": row_mean_squared_error}
