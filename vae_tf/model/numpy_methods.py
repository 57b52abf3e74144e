"""NumPy-facing methods of a VAE, evaluated in batches that fit in memory."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import keras
import numpy as np
from keras import ops

from vae_tf.backend.batches import map_batches
from vae_tf.backend.compiled import compile_for_shapes
from vae_tf.model.checks import check_integer, check_label_range, check_label_type, check_shape
from vae_tf.model.latents import FlatLatents, LatentModel
from vae_tf.model.likelihood import Likelihood
from vae_tf.model.noise import Seed
from vae_tf.model.sampler import Sampler

BATCH_SIZE = 128


class NumpyMethodsMixin:
    """The methods of `vae_tf.VAE` that take and return NumPy arrays; see `VAE` for shapes and labels."""

    latents: LatentModel
    likelihood: Likelihood
    example_shape: Any  # (H, W, C) or (F,)

    @property
    def num_classes(self) -> int | None:
        """Number of classes of a conditional model, otherwise `None`."""
        return self.latents.num_classes

    def encode(self, x: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the latents of data `(N, H, W, C)`: posterior means, float32 `(N, Z)`."""
        inputs = self._check_arrays(x, labels, self.example_shape)
        return map_batches(self._encode, inputs, batch_size)

    def posterior_params(
        self, x: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE
    ) -> np.ndarray:
        """Returns the raw posterior parameters, float32 `(N, P)`, of data `(N, H, W, C)`; only for flat latents."""
        inputs = self._check_arrays(x, labels, self.example_shape)
        return map_batches(self._encode_params, inputs, batch_size)

    def decode(self, z: np.ndarray, labels: np.ndarray | None = None, *, batch_size: int = BATCH_SIZE) -> np.ndarray:
        """Returns the mean E[x | z], float32 `(N, H, W, C)`, for latents `(N, Z)`."""
        return ops.convert_to_numpy(self.likelihood.mean(self._decode_to_params(z, labels, batch_size)))

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
        """Returns generated data, decoded from `n` latents sampled from the prior or from a sampler.

        Args:
            n: Number of samples, at least 1.
            seed: An integer gives the same samples every time; by default they differ from call to call.
            labels: Classes `(n,)` for a conditional model, or one class for all samples; by default the samples cycle
                through the classes.
            temperature: Sampling temperature, at least 0, which scales the prior's standard deviation; below 1, samples
                stay closer to the prior's mean.
            mean: Whether to return the mean E[x | z]; otherwise returns samples from the likelihood p(x | z).
            sampler: A sampler fitted to the latents of this model, to use instead of the prior.

        Returns:
            float32 `(n, H, W, C)` in data units.

        Raises:
            ValueError: `n` is below 1, `temperature` is negative or NaN, or the labels are missing or invalid.
        """
        n = check_integer("n", n, 1)
        if seed is not None and not isinstance(seed, keras.random.SeedGenerator):
            seed = check_integer("seed", seed)
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0. Received: temperature={temperature}")
        if labels is None:
            classes = None if self.num_classes is None else np.arange(n) % self.num_classes
        else:
            classes = np.full(n, labels) if np.ndim(labels) == 0 else np.asarray(labels)
        # Drawing twice needs a SeedGenerator. For a single draw the integer is enough, and creates no Keras variable.
        generator = keras.random.SeedGenerator(seed) if isinstance(seed, int) and not mean else seed
        source = self.latents if sampler is None else sampler
        z = ops.convert_to_numpy(source.sample(n, classes, generator, temperature))
        if mean:
            return self.decode(z, classes)
        return ops.convert_to_numpy(self.likelihood.sample(self._decode_to_params(z, classes), generator))

    def reconstruct(self, x: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Returns the mean reconstructions, float32 `(N, H, W, C)`, of data `(N, H, W, C)`."""
        return self.decode(self.encode(x, labels), labels)

    def interpolate(self, a: np.ndarray, b: np.ndarray, steps: int, labels: np.ndarray | None = None) -> np.ndarray:
        """Interpolates linearly between the latents of pairs of examples, and returns the decoded paths.

        If the prior has a base space (see `to_base`), the paths are linear in that space.

        Args:
            a: First example of each pair `(N, H, W, C)`.
            b: Second example of each pair `(N, H, W, C)`.
            steps: Number of points on each path, including both ends, at least 2.
            labels: Classes `(N,)` of the pairs, for a conditional model.

        Returns:
            The mean E[x | z] at each point, float32 `(N, steps, H, W, C)`.

        Raises:
            ValueError: `steps` is below 2, `a` and `b` differ in shape, or the labels are missing or invalid.
        """
        steps = check_integer("steps", steps, 2)
        if np.shape(a) != np.shape(b):
            raise ValueError(f"a and b must have the same shape. Received: {np.shape(a)} and {np.shape(b)}")
        first, last = (self.to_base(self.encode(x, labels))[:, np.newaxis] for x in (a, b))
        weights = np.linspace(0, 1, steps, dtype=np.float32)[np.newaxis, :, np.newaxis]
        latents = ((1 - weights) * first + weights * last).reshape(-1, first.shape[-1])
        decoded = self.decode(self.from_base(latents), None if labels is None else np.repeat(labels, steps))
        return decoded.reshape(len(a), steps, *decoded.shape[1:])

    def to_base(self, z: np.ndarray) -> np.ndarray:
        """Maps latents `(N, Z)` to the base space of a prior that transforms a simple distribution.

        Returns them unchanged if the prior has no base space.
        """
        return ops.convert_to_numpy(self.latents.to_base(z))

    def from_base(self, u: np.ndarray) -> np.ndarray:
        """Maps points in the base space to latents `(N, Z)`: the inverse of `to_base`."""
        return ops.convert_to_numpy(self.latents.from_base(u))

    def clear_compiled_functions(self) -> None:
        """Removes the compiled functions; call it after a change to the model, so that they are compiled again."""
        for name in ("_encode", "_encode_params", "_decode"):
            self.__dict__.pop(name, None)

    @cached_property
    def _encode(self) -> Callable[..., keras.KerasTensor]:
        return self._compile(self.latents.representation, self.example_shape)

    @cached_property
    def _encode_params(self) -> Callable[..., keras.KerasTensor]:
        assert isinstance(self.latents, FlatLatents)
        return self._compile(self.latents.posterior_params, self.example_shape)

    @cached_property
    def _decode(self) -> Callable[..., keras.KerasTensor]:
        return self._compile(self.latents.decode, (self.latents.latent_dim,))

    def _compile(
        self, function: Callable[..., keras.KerasTensor], shape: tuple[int, ...]
    ) -> Callable[..., keras.KerasTensor]:
        """Compiles a function of values and labels; the labels are `None` for an unconditional model."""
        if self.num_classes is None:
            unconditional: Callable[..., keras.KerasTensor] = compile_for_shapes(
                lambda values: function(values, None), [(None, *shape)], ["float32"]
            )
            return lambda values, labels: unconditional(values)
        return compile_for_shapes(function, [(None, *shape), (None,)], ["float32", "int64"])

    def _decode_to_params(
        self, z: np.ndarray, labels: np.ndarray | None, batch_size: int = BATCH_SIZE
    ) -> keras.KerasTensor:
        """Returns the raw likelihood parameters, float32 `(N, H, W, P)`, for latents `(N, Z)`."""
        inputs = self._check_arrays(z, labels, (self.latents.latent_dim,))
        return ops.convert_to_tensor(map_batches(self._decode, inputs, batch_size), "float32")

    def _check_arrays(
        self, values: np.ndarray, labels: np.ndarray | None, shape: tuple[int, ...] | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns values and labels as arrays, after checking that they match the model."""
        values = np.asarray(values)
        check_shape(values.shape, shape)
        self._check_has_labels(labels)
        values = values.astype(np.float32, copy=False)
        if labels is None or self.num_classes is None:
            return values, None
        return values, check_labels(labels, len(values), self.num_classes).astype(np.int64)

    def _check_has_labels(self, labels: Any) -> None:
        if (labels is None) != (self.num_classes is None):
            if labels is None:
                raise ValueError("A conditional VAE needs labels. Received: labels=None")
            raise ValueError("An unconditional VAE does not accept labels; omit them")


def check_labels(labels: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    """Returns labels as an array, after checking that there is one valid class for each of `count` examples.

    Raises:
        InputError: The labels have another shape, are not integers, or lie outside [0, `num_classes`).
    """
    labels = np.asarray(labels)
    check_label_type(labels, count)
    check_label_range(labels.min(), labels.max(), num_classes)
    return labels
