"""A VAE's methods for arrays: arrays in, arrays out, in batches that fit the memory."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from vae_tf.model.posterior import Posterior, Seed
from vae_tf.model.prior import Prior

if TYPE_CHECKING:
    from vae_tf.model.likelihood import Likelihood

BATCH_SIZE = 128


class ArrayMethods:
    """What `vae_tf.VAE` offers for arrays; see there for shapes and labels."""

    encoder: keras.Model
    decoder: keras.Model
    posterior: Posterior
    prior: Prior
    likelihood: "Likelihood"
    num_classes: int | None
    example_shape: Any  # (H, W, C) or (F,)

    def encode(self, x: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the posterior means, float32 `(N, Z)`, of data `(N, H, W, C)`."""
        params = self.encode_params(x, labels, batch_size=batch_size)
        return ops.convert_to_numpy(self.posterior.mean(ops.convert_to_tensor(params)))

    def encode_params(
        self, x: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE
    ) -> np.ndarray:
        """Returns the raw posterior parameters, float32 `(N, P)`, of data `(N, H, W, C)`."""
        given = self._checked_input(x, labels, self.example_shape)
        return np.asarray(self.encoder.predict(given, batch_size=batch_size, verbose=0), np.float32)

    def decode(self, z: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the mean data E[x | z], float32 `(N, H, W, C)`, for latents `(N, Z)`."""
        return ops.convert_to_numpy(self.likelihood.mean(self._decode_params(z, labels, batch_size)))

    def sample(
        self,
        n: int,
        seed: Seed | None = None,
        labels: np.ndarray | int | None = None,
        *,
        temperature: float = 1.0,
        mean: bool = True,
    ) -> np.ndarray:
        """Returns data for `n` draws of the latents from the prior.

        Args:
            n: Number of draws, at least 1.
            seed: An integer gives the same draws every time; by default every call gives others.
            labels: Classes `(n,)`, or one for all, of a conditional model; by default its classes in turn.
            temperature: Factor on the latents, at least 0; below 1 stays nearer to the prior's centre.
            mean: Return the mean data E[x | z], as is done for pictures; else draws from the likelihood p(x | z).

        Returns:
            float32 `(n, H, W, C)` in data units.

        Raises:
            ValueError: `n` is below 1, `temperature` is negative or not a number, or the labels don't fit.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1. Received: n={n}")
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0. Received: temperature={temperature}")
        if labels is None:
            classes = None if self.num_classes is None else np.arange(n) % self.num_classes
        else:
            classes = np.full(n, labels) if np.ndim(labels) == 0 else np.asarray(labels)
        # A generator is for two draws; for one the number is enough, and costs no memory that Keras keeps.
        noise = keras.random.SeedGenerator(seed) if isinstance(seed, int) and not mean else seed
        z = temperature * ops.convert_to_numpy(self.prior.sample(n, noise))
        if mean:
            return self.decode(z, classes)
        return ops.convert_to_numpy(self.likelihood.sample(self._decode_params(z, classes), noise))

    def reconstruct(self, x: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Returns the mean reconstructions, float32 `(N, H, W, C)`, of data `(N, H, W, C)`."""
        return self.decode(self.encode(x, labels), labels)

    def interpolate(self, a: np.ndarray, b: np.ndarray, steps: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Returns the way from some data to other data, in equal steps between their posterior means.

        Args:
            a: Where to begin `(N, H, W, C)`.
            b: Where to end `(N, H, W, C)`.
            steps: Number of points on each way, both ends included, at least 2.
            labels: Classes `(N,)` of both ends and the way, for a conditional model.

        Returns:
            float32 `(N, steps, H, W, C)`, mean data.

        Raises:
            ValueError: `steps` is below 2, the ends differ in shape, or the labels don't fit.
        """
        if steps < 2:
            raise ValueError(f"steps must be at least 2. Received: steps={steps}")
        if np.shape(a) != np.shape(b):
            raise ValueError(f"a and b must have one shape. Received: {np.shape(a)} and {np.shape(b)}")
        first, last = self.encode(a, labels)[:, np.newaxis], self.encode(b, labels)[:, np.newaxis]
        weights = np.linspace(0, 1, steps, dtype=np.float32)[np.newaxis, :, np.newaxis]
        between = ((1 - weights) * first + weights * last).reshape(-1, self.prior.latent_dim)
        decoded = self.decode(between, None if labels is None else np.repeat(labels, steps))
        return decoded.reshape(len(a), steps, *decoded.shape[1:])

    def _decode_params(
        self, z: np.ndarray, labels: np.ndarray | None, batch_size: int = BATCH_SIZE
    ) -> keras.KerasTensor:
        given = self._checked_input(z, labels, (self.prior.latent_dim,))
        return ops.convert_to_tensor(self.decoder.predict(given, batch_size=batch_size, verbose=0), "float32")

    def _checked_input(self, values: np.ndarray, labels: np.ndarray | None, shape: tuple[int, ...]) -> Any:
        """What encoder and decoder take: the values, beside one-hot labels where the model is conditional."""
        values = np.asarray(values)
        if len(values.shape) < 1 or values.shape[1:] != shape or not len(values):
            wanted = ", ".join(map(str, ("N", *shape)))
            raise ValueError(f"The array must have shape ({wanted}), N at least 1. Received: {values.shape}")
        self._check_has_labels(labels)
        if labels is None or self.num_classes is None:
            return values
        classes = checked_labels(labels, len(values), self.num_classes)
        return [values, np.eye(self.num_classes, dtype=np.float32)[classes]]

    def _check_has_labels(self, labels: Any) -> None:
        if (labels is None) != (self.num_classes is None):
            needs = "needs labels" if labels is None else "takes no labels: it is not conditional"
            raise ValueError(f"This VAE {needs}. Received: labels={labels}")


def checked_labels(labels: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    """Returns labels as an array if they are one class for each of `count` examples.

    Raises:
        ValueError: Another shape, no whole numbers, or one outside [0, `num_classes`).
    """
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "ui":
        raise ValueError(
            f"labels must be one whole number for each of {count}. Received: {labels.dtype} of shape {labels.shape}"
        )
    if count and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels must lie in 0..{num_classes - 1}. Received: {labels.min()} to {labels.max()}")
    return labels
