"""Baseline generators whose samples a VAE should beat."""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

MIXTURE_COMPONENTS = 10

Generator = Callable[[int, int], np.ndarray]


def noise_generator(example_shape: tuple[int, int, int]) -> Generator:
    """Returns a function (n, seed) -> images of uniform noise, float32 `(n, H, W, C)` in [0, 1]."""
    return lambda n, seed: np.random.default_rng(seed).random((n, *example_shape), np.float32)


def pca_generators(
    images: np.ndarray, latent_dim: int, seed: int, *, clip_min: float | None = 0.0, clip_max: float | None = 1.0
) -> dict[str, Generator]:
    """Fits a Gaussian and a Gaussian mixture with ten components to the principal components of the data.

    Args:
        images: Training images `(N, H, W, C)`, or rows `(N, F)`.
        latent_dim: Maximum number of principal components; usually the number of latent dimensions of the VAE.
        seed: Random seed for the fits.
        clip_min: Minimum of the generated values; `None` for no minimum.
        clip_max: Maximum of the generated values; `None` for no maximum.

    Returns:
        `pca_gaussian` and `pca_gaussian_mixture`, each a function (n, seed) -> float32 `(n, H, W, C)` or `(n, F)`.
    """
    # In float32, rounding errors would make covariances of many dimensions indefinite.
    flat = images.reshape(len(images), -1).astype(np.float64)
    pca = PCA(min(latent_dim, *flat.shape), random_state=seed).fit(flat)
    codes = pca.transform(flat)
    num_components = min(MIXTURE_COMPONENTS, len(codes))
    mixture = GaussianMixture(num_components, reg_covar=1e-4, random_state=seed).fit(codes)

    def decode(codes: np.ndarray) -> np.ndarray:
        values = np.clip(pca.inverse_transform(codes), clip_min, clip_max)
        return values.reshape(-1, *images.shape[1:]).astype(np.float32)

    def sample_gaussian(n: int, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((n, codes.shape[1]))
        return decode(noise * np.sqrt(pca.explained_variance_))

    def sample_mixture(n: int, seed: int) -> np.ndarray:
        return decode(mixture.set_params(random_state=seed).sample(n)[0])

    return {"pca_gaussian": sample_gaussian, "pca_gaussian_mixture": sample_mixture}
