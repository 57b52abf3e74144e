"""The Gaussian mixture sampler."""

from typing import Any

import keras
import numpy as np
from keras import ops

from vae_tf.model.noise import Seed
from vae_tf.model.sampler.base import Sampler
from vae_tf.support.errors import InputError


@keras.saving.register_keras_serializable(package="vae_tf")
class GaussianMixtureSampler(Sampler):
    """A mixture of Gaussians with full covariances, fitted with scikit-learn's `GaussianMixture` (Ghosh et al. 2020).

    Args:
        latent_dim: Number of latent dimensions Z.
        num_classes: Number of classes of a conditional model; each class has its own mixture.
        components: Number of components of each mixture, at least 1.
        **kwargs: Passed to `Sampler`.
    """

    def __init__(self, latent_dim: int, num_classes: int | None = None, components: int = 10, **kwargs: Any) -> None:
        super().__init__(latent_dim, num_classes, **kwargs)
        self.components = components

    def build(self, input_shape: Any = None) -> None:
        """Creates the parameters, one mixture per class (or a single one); `fit` sets them."""
        num_mixtures, dim = self.num_classes or 1, self.latent_dim
        shapes = {
            "mixing_weights": (num_mixtures, self.components),
            "means": (num_mixtures, self.components, dim),
            "cholesky": (num_mixtures, self.components, dim, dim),
        }
        for name, shape in shapes.items():
            setattr(self, name, self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name))
        self.built = True

    def check_num_examples(self, num_examples: int) -> None:
        """Raises an error if there are fewer examples than components; see `Sampler.check_num_examples`."""
        fewest = max(2, self.components)
        if num_examples < fewest:
            of_class = "" if self.num_classes is None else " of each class"
            raise InputError(
                f"sampler=gmm with sampler_components={self.components} needs at least {fewest} training "
                f"examples{of_class}. Received: {num_examples} examples; choose fewer components"
            )

    def fit(self, latents: np.ndarray, labels: np.ndarray | None, seed: int) -> None:
        """Fits one mixture to all latents, or one mixture to the latents of each class; see `Sampler.fit`."""
        from sklearn.mixture import GaussianMixture

        groups = [latents] if labels is None else [latents[labels == label] for label in range(self.num_classes or 0)]
        self.check_num_examples(min(map(len, groups)))
        mixtures = [
            GaussianMixture(self.components, random_state=seed).fit(group.astype(np.float64)) for group in groups
        ]
        self.mixing_weights.assign(np.stack([mixture.weights_ for mixture in mixtures]))
        self.means.assign(np.stack([mixture.means_ for mixture in mixtures]))
        self.cholesky.assign(np.stack([np.linalg.cholesky(mixture.covariances_) for mixture in mixtures]))

    def sample(self, n: int, labels: np.ndarray | None, seed: Seed | None, temperature: float = 1.0) -> np.ndarray:
        """Returns `n` latents, float32 `(n, Z)`; the temperature scales the deviations from the components' means."""
        entropy = np.asarray(seed.next()) if isinstance(seed, keras.random.SeedGenerator) else seed
        rng = np.random.default_rng(entropy)
        mixtures = np.zeros(n, int) if labels is None else np.asarray(labels)
        weights, means, cholesky = map(ops.convert_to_numpy, (self.mixing_weights, self.means, self.cholesky))
        cumulative = np.cumsum(weights, axis=1)[mixtures]
        components = (rng.random((n, 1)) * cumulative[:, -1:] > cumulative).sum(axis=1)
        latents = rng.standard_normal((n, self.latent_dim)).astype(np.float32)
        for mixture, component in np.unique(np.stack([mixtures, components], axis=1), axis=0):
            rows = (mixtures == mixture) & (components == component)
            deviations = latents[rows] @ cholesky[mixture, component].T
            latents[rows] = means[mixture, component] + np.float32(temperature) * deviations
        return latents

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "components": self.components}
