"""A VAE's methods for arrays: arrays in, arrays out, in batches that fit in memory."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from vae_tf.backend.batches import in_batches
from vae_tf.backend.compiled import compiled_for
from vae_tf.model.latents import FlatLatents, LatentModel
from vae_tf.model.likelihood import Likelihood
from vae_tf.model.noise import Seed
from vae_tf.model.sampler import Sampler

BATCH_SIZE = 128


class ArrayMethods:
    """The array methods of `vae_tf.VAE`; see there for shapes and labels."""

    latents: LatentModel
    likelihood: Likelihood
    example_shape: Any  # (H, W, C) or (F,)

    @property
    def num_classes(self) -> int | None:
        """Number of classes of a conditional model, otherwise `None`."""
        return self.latents.num_classes

    def encode(self, x: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the latents of data `(N, H, W, C)`: posterior means, float32 `(N, Z)`."""
        return in_batches(self._encode, self._checked(x, labels, self.example_shape), batch_size)

    def posterior_params(
        self, x: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE
    ) -> np.ndarray:
        """Returns the raw posterior parameters, float32 `(N, P)`, of data `(N, H, W, C)`; flat latents only."""
        return in_batches(self._encode_params, self._checked(x, labels, self.example_shape), batch_size)

    def decode(self, z: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the mean data E[x | z], float32 `(N, H, W, C)`, for latents `(N, Z)`."""
        return ops.convert_to_numpy(self.likelihood.mean(self._decoded(z, labels, batch_size)))

    def sample(
        self,
        n: int,
        seed: Seed | None = None,
        labels: np.ndarray | int | None = None,
        *,
        temperature: float = 1.0,
        mean: bool = True,
        sampler: Sampler | None = None,
    ) -> np.ndarray:
        """Returns generated data, decoded from `n` latents drawn from the prior or from a sampler.

        Args:
            n: Number of samples, at least 1.
            seed: An integer gives the same samples every time; by default they differ from call to call.
            labels: Classes `(n,)`, or one class for all, for a conditional model; by default cycles through its
                classes.
            temperature: Scale of the prior's noise, at least 0; below 1, samples stay closer to the prior's centre.
            mean: Whether to return the mean data E[x | z]; otherwise returns samples from the likelihood p(x | z).
            sampler: A sampler fitted to the latents of this model, to use instead of the prior.

        Returns:
            float32 `(n, H, W, C)` in data units.

        Raises:
            ValueError: `n` is below 1, `temperature` is negative or NaN, or the labels don't fit.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1. Received: n={n}")
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0. Received: temperature={temperature}")
        if labels is None:
            classes = None if self.num_classes is None else np.arange(n) % self.num_classes
        else:
            classes = np.full(n, labels) if np.ndim(labels) == 0 else np.asarray(labels)
        # Two draws need a generator. For one, the integer is enough, and leaves no variable behind in Keras.
        noise = keras.random.SeedGenerator(seed) if isinstance(seed, int) and not mean else seed
        source = self.latents if sampler is None else sampler
        z = ops.convert_to_numpy(source.sample(n, classes, noise, temperature))
        if mean:
            return self.decode(z, classes)
        return ops.convert_to_numpy(self.likelihood.sample(self._decoded(z, classes), noise))

    def reconstruct(self, x: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Returns the mean reconstructions, float32 `(N, H, W, C)`, of data `(N, H, W, C)`."""
        return self.decode(self.encode(x, labels), labels)

    def interpolate(self, a: np.ndarray, b: np.ndarray, steps: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Returns the paths from some examples to others, in equal steps between their latents.

        If the prior has a base space, the steps are equal in that space.

        Args:
            a: Start of each path `(N, H, W, C)`.
            b: End of each path `(N, H, W, C)`.
            steps: Number of points on each path, including both ends, at least 2.
            labels: Classes `(N,)` of both ends and the path, for a conditional model.

        Returns:
            The mean data of each point, float32 `(N, steps, H, W, C)`.

        Raises:
            ValueError: `steps` is below 2, `a` and `b` differ in shape, or the labels don't fit.
        """
        if steps < 2:
            raise ValueError(f"steps must be at least 2. Received: steps={steps}")
        if np.shape(a) != np.shape(b):
            raise ValueError(f"a and b must have one shape. Received: {np.shape(a)} and {np.shape(b)}")
        first, last = (self.to_base(self.encode(x, labels))[:, np.newaxis] for x in (a, b))
        weights = np.linspace(0, 1, steps, dtype=np.float32)[np.newaxis, :, np.newaxis]
        between = ((1 - weights) * first + weights * last).reshape(-1, first.shape[-1])
        decoded = self.decode(self.from_base(between), None if labels is None else np.repeat(labels, steps))
        return decoded.reshape(len(a), steps, *decoded.shape[1:])

    def to_base(self, z: np.ndarray) -> np.ndarray:
        """Maps latents `(N, Z)` to the base space of the prior; returns them unchanged if it has none."""
        return ops.convert_to_numpy(self.latents.to_base(z))

    def from_base(self, u: np.ndarray) -> np.ndarray:
        """Maps points of the base space to latents `(N, Z)`: the inverse of `to_base`."""
        return ops.convert_to_numpy(self.latents.from_base(u))

    @cached_property
    def _encode(self) -> Callable[..., keras.KerasTensor]:
        return self._compiled(self.latents.representation, self.example_shape)

    @cached_property
    def _encode_params(self) -> Callable[..., keras.KerasTensor]:
        assert isinstance(self.latents, FlatLatents)
        return self._compiled(self.latents.posterior_params, self.example_shape)

    @cached_property
    def _decode(self) -> Callable[..., keras.KerasTensor]:
        return self._compiled(self.latents.decode, (self.latents.latent_dim,))

    def _compiled(
        self, function: Callable[..., keras.KerasTensor], shape: tuple[int, ...]
    ) -> Callable[..., keras.KerasTensor]:
        """Returns the compiled function of values and labels; labels are `None` for an unconditional model."""
        if self.num_classes is None:
            of_values: Callable[..., keras.KerasTensor] = compiled_for(
                lambda values: function(values, None), [(None, *shape)], ["float32"]
            )
            return lambda values, labels: of_values(values)
        return compiled_for(function, [(None, *shape), (None,)], ["float32", "int64"])

    def _decoded(self, z: np.ndarray, labels: np.ndarray | None, batch_size: int = BATCH_SIZE) -> keras.KerasTensor:
        """Returns the raw likelihood parameters, float32 `(N, H, W, P)`, for latents `(N, Z)`."""
        given = self._checked(z, labels, (self.latents.latent_dim,))
        return ops.convert_to_tensor(in_batches(self._decode, given, batch_size), "float32")

    def _checked(
        self, values: np.ndarray, labels: np.ndarray | None, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns values and labels as arrays, after checking that they fit the model."""
        values = np.asarray(values)
        if len(values.shape) < 1 or values.shape[1:] != shape or not len(values):
            wanted = ", ".join(map(str, ("N", *shape)))
            raise ValueError(f"The array must have shape ({wanted}), N at least 1. Received: {values.shape}")
        self._check_has_labels(labels)
        values = values.astype(np.float32, copy=False)
        if labels is None or self.num_classes is None:
            return values, None
        return values, checked_labels(labels, len(values), self.num_classes).astype(np.int64)

    def _check_has_labels(self, labels: Any) -> None:
        if (labels is None) != (self.num_classes is None):
            needs = "needs labels" if labels is None else "takes no labels: it is not conditional"
            raise ValueError(f"This VAE {needs}. Received: labels={labels}")


def checked_labels(labels: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    """Returns labels as an array, after checking that they are one class for each of `count` examples.

    Raises:
        ValueError: The labels have another shape, are not integers, or lie outside [0, `num_classes`).
    """
    labels = np.asarray(labels)
    if labels.shape != (count,) or labels.dtype.kind not in "ui":
        raise ValueError(
            f"labels must be one whole number for each of {count}. Received: {labels.dtype} of shape {labels.shape}"
        )
    if count and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels must lie in 0..{num_classes - 1}. Received: {labels.min()} to {labels.max()}")
    return labels
