"""The interface of samplers."""

from typing import Any

import keras
import numpy as np

from vae_tf.model.noise import Seed
from vae_tf.registry import PRIOR


class Sampler(keras.layers.Layer):
    """A distribution fitted to the latents of a trained model (ex-post density estimation, Ghosh et al. 2020).

    A subclass registers with Keras and creates its weights in `build`, so that it can be restored from a file.

    Args:
        latent_dim: Number of latent dimensions Z.
        num_classes: Number of classes of a conditional model; each class has its own distribution.
        **kwargs: Passed to `keras.layers.Layer`.
    """

    def __init__(self, latent_dim: int, num_classes: int | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.latent_dim = latent_dim
        self.num_classes = num_classes

    def check_num_examples(self, num_examples: int) -> None:
        """Raises an error if there are too few training examples; by default, any number is enough.

        Args:
            num_examples: Number of training examples; of the smallest class, for a conditional model.

        Raises:
            InputError: Too few examples.
        """

    def fit(self, latents: np.ndarray, labels: np.ndarray | None, seed: int) -> None:
        """Fits the distribution.

        Args:
            latents: Latents of the training examples, float32 `(N, Z)`.
            labels: Classes `(N,)` of the examples, for a conditional model.
            seed: Random seed for fitting.

        Raises:
            InputError: Too few latents; see `check_num_examples`.
        """
        raise NotImplementedError

    def sample(self, n: int, labels: np.ndarray | None, seed: Seed | None, temperature: float = 1.0) -> np.ndarray:
        """Returns `n` sampled latents, float32 `(n, Z)`.

        Args:
            n: Number of samples.
            labels: Classes `(n,)`, for a conditional model.
            seed: An integer or a generator; by default the samples differ from call to call.
            temperature: Scale of the noise, at least 0.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "latent_dim": self.latent_dim, "num_classes": self.num_classes}


def sampler_name(sampler: Sampler | None) -> str:
    """Returns the display name of a sampler: its name in the registry, or `"prior"` if there is no sampler."""
    return PRIOR if sampler is None else str(sampler.name)
