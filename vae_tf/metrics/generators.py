"""Simple generators for comparison: a VAE whose samples are no better is not worth training."""

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
    images: np.ndarray, latent_dim: int, seed: int, *, lowest: float | None = 0.0, highest: float | None = 1.0
) -> dict[str, Generator]:
    """Fits a normal distribution and a mixture of ten normals to principal components of the data.

    Args:
        images: Training images `(N, H, W, C)`, or rows `(N, F)`.
        latent_dim: Components to keep, as many as the VAE has latents; fewer if the data has fewer.
        seed: Seed of the fits.
        lowest: Values below are clipped to this; `None` for no lower limit.
        highest: Values above are clipped to this; `None` for no upper limit.

    Returns:
        `pca_gaussian` and `pca_gaussian_mixture`, each a function (n, seed) -> float32 `(n, H, W, C)` or `(n, F)`.
    """
    # In float32, rounding makes the covariances of many components indefinite.
    flat = images.reshape(len(images), -1).astype(np.float64)
    pca = PCA(min(latent_dim, *flat.shape), random_state=seed).fit(flat)
    codes = pca.transform(flat)
    components = min(MIXTURE_COMPONENTS, len(codes))
    mixture = GaussianMixture(components, reg_covar=1e-4, random_state=seed).fit(codes)

    def pictures(drawn: np.ndarray) -> np.ndarray:
        values = np.clip(pca.inverse_transform(drawn), lowest, highest)
        return values.reshape(-1, *images.shape[1:]).astype(np.float32)

    def from_gaussian(n: int, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).standard_normal((n, codes.shape[1]))
        return pictures(noise * np.sqrt(pca.explained_variance_))

    def from_mixture(n: int, seed: int) -> np.ndarray:
        return pictures(mixture.set_params(random_state=seed).sample(n)[0])

    return {"pca_gaussian": from_gaussian, "pca_gaussian_mixture": from_mixture}
