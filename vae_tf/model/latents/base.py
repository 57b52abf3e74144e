"""The interface of latent models."""

from typing import Any

import keras

from vae_tf.model.noise import Seed, standard_normal
from vae_tf.model.terms import Inferred


class LatentModel(keras.layers.Layer):
    """Infers latents from data, decodes them, and samples latents from the prior.

    Latents are always one array, `(K, B, Z)` for K samples of B examples; `groups` names its slices. Latents
    with spatial dimensions are flattened in that array, but not inside the networks.

    Attributes:
        latent_dim: Number of latent dimensions Z, over all groups.
        groups: The slice of Z that belongs to each group of latents, by name.
        num_classes: Number of classes of a conditional model, otherwise `None`.
        encoder: The network from data to posterior parameters.
        decoder: The network from latents to likelihood parameters.
        loss_names: The names of the losses in `Inferred.losses`.
        needs_target: Whether `decode` needs the target during training, as autoregressive decoders do.
    """

    latent_dim: int
    groups: dict[str, slice]
    num_classes: int | None
    encoder: keras.Model
    decoder: keras.Model
    loss_names: tuple[str, ...] = ()
    needs_target = False

    def build_from_example_shape(self, example_shape: tuple[int, ...], params_size: int) -> None:
        """Builds every part for examples of the given shape.

        Args:
            example_shape: `(H, W, C)` or `(F,)`.
            params_size: Number of raw likelihood parameters per pixel, or per row of features.

        Raises:
            ValueError: The output of a network has the wrong shape.
        """
        raise NotImplementedError

    def infer(
        self,
        x: keras.KerasTensor,
        labels: keras.KerasTensor | None,
        noise: keras.KerasTensor,
        training: bool = False,
    ) -> Inferred:
        """Returns K posterior samples per example, and their log-probabilities.

        Args:
            x: Data `(B, H, W, C)`.
            labels: Classes `(B,)`, for a conditional model.
            noise: The noise from the `noise` method; its first axis is K.
            training: Whether batch normalization uses batch statistics and updates its moving statistics.
        """
        raise NotImplementedError

    def decode(
        self,
        z: keras.KerasTensor,
        labels: keras.KerasTensor | None,
        target: keras.KerasTensor | None = None,
        training: bool = False,
    ) -> keras.KerasTensor:
        """Returns raw likelihood parameters `(N, H, W, P)` for latents `(N, Z)`.

        Args:
            z: Latents.
            labels: Classes `(N,)`, for a conditional model.
            target: The data that the likelihood scores `(N, H, W, C)`; autoregressive decoders need it in training.
            training: As in `infer`.
        """
        raise NotImplementedError

    def sample(
        self, n: int, labels: keras.KerasTensor | None, seed: Seed, temperature: float = 1.0
    ) -> keras.KerasTensor:
        """Returns `n` latents drawn from the prior, float32 `(n, Z)`."""
        raise NotImplementedError

    def representation(self, x: keras.KerasTensor, labels: keras.KerasTensor | None) -> keras.KerasTensor:
        """Returns the deterministic latents of data, `(N, Z)`: the posterior means."""
        raise NotImplementedError

    def kl_per_dimension(self, inferred: Inferred) -> keras.KerasTensor:
        """Returns KL(q(z_j | x) || p(z_j)) for each latent dimension, in nats, `(B, Z)`."""
        raise NotImplementedError

    def noise(self, count: Any, num_samples: int, seed: Seed) -> keras.KerasTensor:
        """Returns the noise for `num_samples` posterior samples of `count` examples, float32 `(K, B, Z)`.

        Args:
            count: Number of examples B.
            num_samples: Number of samples K per example.
            seed: One seed for all examples, or one per example, int32 `(B, 2)`.
        """
        return standard_normal((num_samples, count, self.latent_dim), seed)

    def to_base(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Maps latents to the base space of the prior, where interpolations and traversals are linear.

        A prior that transforms a simple distribution, such as a normalizing flow, has that distribution's space as its
        base space. By default, latents are returned unchanged.
        """
        return z

    def from_base(self, u: keras.KerasTensor) -> keras.KerasTensor:
        """Maps points in the base space to latents: the inverse of `to_base`."""
        return u

    def bytes_per_sample(self) -> int:
        """Returns the memory, in bytes, needed to decode one sample of one example."""
        raise NotImplementedError
