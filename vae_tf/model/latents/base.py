"""What every latent model offers."""

from typing import Any

import keras

from vae_tf.model.noise import Seed, standard_normal
from vae_tf.model.terms import Inferred


class LatentModel(keras.layers.Layer):
    """How latents are inferred from data, decoded, and generated without data.

    Latents are always one array, `(K, B, Z)` for K draws of B examples; `groups` names its slices. Spatial latents are
    flattened outside the networks.

    Attributes:
        latent_dim: Number of latent dimensions Z, of all groups together.
        groups: The slice of Z that each group of latents has, by the group's name.
        num_classes: Number of classes of a conditional model, otherwise `None`.
        encoder: The network from data to posterior parameters.
        decoder: The network from latents to likelihood parameters.
        loss_names: The names of `Inferred.losses`.
        takes_target: Whether `decode` needs the target in training, as an autoregressive decoder does.
    """

    latent_dim: int
    groups: dict[str, slice]
    num_classes: int | None
    encoder: keras.Model
    decoder: keras.Model
    loss_names: tuple[str, ...] = ()
    takes_target = False

    def initialize(self, x: keras.KerasTensor, labels: keras.KerasTensor | None) -> None:
        """Prepares the weights before the first step, if that needs examples.

        Args:
            x: Training data `(N, H, W, C)`.
            labels: Their classes `(N,)`, for a conditional model.
        """

    def build_for(self, example_shape: tuple[int, ...], params_size: int) -> None:
        """Builds every part.

        Args:
            example_shape: Of the data, `(H, W, C)` or `(F,)`.
            params_size: Raw likelihood parameters for each pixel, or for all features.

        Raises:
            ValueError: A network does not return what is needed.
        """
        raise NotImplementedError

    def infer(
        self,
        x: keras.KerasTensor,
        labels: keras.KerasTensor | None,
        noise: keras.KerasTensor,
        training: bool = False,
    ) -> Inferred:
        """Returns K posterior draws for each example, and their probabilities.

        Args:
            x: Data `(B, H, W, C)`.
            labels: Classes `(B,)`, for a conditional model.
            noise: From `noise`; its first axis is K.
            training: Whether batch normalization uses the batch and updates its averages.
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
            target: What the likelihood is of `(N, H, W, C)`; autoregressive decoders need it in training.
            training: As of `infer`.
        """
        raise NotImplementedError

    def sample(
        self, n: int, labels: keras.KerasTensor | None, seed: Seed, temperature: float = 1.0
    ) -> keras.KerasTensor:
        """Returns `n` latents drawn from the prior, float32 `(n, Z)`."""
        raise NotImplementedError

    def representation(self, x: keras.KerasTensor, labels: keras.KerasTensor | None) -> keras.KerasTensor:
        """Returns the latents that stand for data without any noise, `(N, Z)`: posterior means."""
        raise NotImplementedError

    def kl_per_dimension(self, inferred: Inferred) -> keras.KerasTensor:
        """Returns KL(q(z_j | x) || p(z_j)) of each latent dimension in nats, `(B, Z)`."""
        raise NotImplementedError

    def noise(self, count: Any, num_samples: int, seed: Seed) -> keras.KerasTensor:
        """Returns the noise behind `num_samples` posterior draws of `count` examples, float32 `(K, B, Z)`.

        Args:
            count: Number of examples B.
            num_samples: Number of draws K.
            seed: One for all, or one for each example, int32 `(B, 2)`.
        """
        return standard_normal((num_samples, count, self.latent_dim), seed)

    def to_base(self, z: keras.KerasTensor) -> keras.KerasTensor:
        """Returns latents in the space of the prior's base distribution, in which paths and traversals are straight."""
        return z

    def from_base(self, u: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the latents at a point of the base space: the inverse of `to_base`."""
        return u

    def bytes_per_sample(self) -> int:
        """Returns the memory that decoding one draw of one example takes."""
        raise NotImplementedError
