"""Fully connected networks, such as the 784-200-200-50 of the importance-weighted autoencoder paper."""

import math
from collections.abc import Sequence

import keras
from keras import layers

from vae_tf.config import DEFAULT_HIDDEN_SIZES
from vae_tf.model.layers import BatchNormalization
from vae_tf.model.network import network


class DenseBackbone:
    """A fully connected encoder, and a decoder that mirrors its hidden layers.

    Args:
        example_shape: `(height, width, channels)` or `(features,)`.
        batch_norm: Whether batch normalization follows the activation of each hidden layer.
        hidden_sizes: Units of the encoder's hidden layers, first to last.
        activation: Name of the hidden layers' activation.
        num_classes: Number of classes of a conditional model.
    """

    def __init__(
        self,
        example_shape: tuple[int, ...],
        *,
        batch_norm: bool,
        hidden_sizes: Sequence[int] = DEFAULT_HIDDEN_SIZES,
        activation: str = "relu",
        num_classes: int | None = None,
    ) -> None:
        self.example_shape = example_shape
        self.batch_norm = batch_norm
        self.hidden_sizes = tuple(hidden_sizes)
        self.activation = activation
        self.num_classes = num_classes

    def encoder(self, params_size: int) -> keras.Model:
        """Returns the network from data `(B, H, W, C)` to float32 `(B, params_size)`."""
        hidden = self._hidden(self.hidden_sizes)
        hidden.append(layers.Dense(params_size, dtype="float32", name="posterior_params"))
        return network("encoder", self.example_shape, self.num_classes, [layers.Flatten()], hidden)

    def decoder(self, latent_dim: int, params_channels: int) -> keras.Model:
        """Returns the network from latents `(B, Z)` to float32 `(B, H, W, params_channels)`."""
        output_shape = (*self.example_shape[:-1], params_channels)
        stack = self._hidden(self.hidden_sizes[::-1])
        stack.append(layers.Dense(math.prod(output_shape), dtype="float32", name="likelihood_params"))
        stack.append(layers.Reshape(output_shape, dtype="float32"))
        return network("decoder", (latent_dim,), self.num_classes, stack)

    def _hidden(self, sizes: Sequence[int]) -> list[keras.layers.Layer]:
        stack: list[keras.layers.Layer] = []
        for units in sizes:
            stack.append(layers.Dense(units, activation=self.activation))
            if self.batch_norm:
                stack.append(BatchNormalization())
        return stack
