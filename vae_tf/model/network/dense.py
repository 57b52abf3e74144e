"""Fully connected networks, such as the 784-200-200-50 network of the importance-weighted autoencoder paper."""

import math
import random
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from vae_tf.config import DEFAULT_HIDDEN_SIZES
from vae_tf.model.layers import BatchNormalization
from vae_tf.model.network import build_network


class DenseNetwork:
    """A fully connected encoder, and a decoder that mirrors its hidden layers.

    Args:
        example_shape: `(height, width, channels)` or `(features,)`.
        batch_norm: Whether batch normalization follows the activation of each hidden layer.
        batch_norm_momentum: Momentum of its moving averages.
        hidden_sizes: Number of units of each hidden layer of the encoder, first to last.
        activation: Activation function of the hidden layers, a Keras name.
        num_classes: Number of classes of a conditional model.
        seed: Random seed of the initial weights; by default, Keras draws one from Python's global random state.
    """

    def __init__(
        self,
        example_shape: tuple[int, ...],
        *,
        batch_norm: bool,
        batch_norm_momentum: float = 0.99,
        hidden_sizes: Sequence[int] = DEFAULT_HIDDEN_SIZES,
        activation: str = "relu",
        num_classes: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.example_shape = example_shape
        self.batch_norm = batch_norm
        self.batch_norm_momentum = batch_norm_momentum
        self.hidden_sizes = tuple(hidden_sizes)
        self.activation = activation
        self.num_classes = num_classes
        self._random = None if seed is None else random.Random(seed)

    def build_encoder(self, params_size: int) -> keras.Model:
        """Returns the encoder, from data `(B, H, W, C)` to float32 `(B, params_size)`."""
        head = self._build_hidden_layers(self.hidden_sizes)
        head.append(self._dense(params_size, dtype="float32", name="posterior_params"))
        return build_network("encoder", self.example_shape, self.num_classes, [layers.Flatten("channels_last")], head)

    def build_decoder(self, latent_dim: int, params_size: int) -> keras.Model:
        """Returns the decoder, from latents `(B, Z)` to float32 `(B, H, W, params_size)`."""
        output_shape = (*self.example_shape[:-1], params_size)
        body = self._build_hidden_layers(self.hidden_sizes[::-1])
        body.append(self._dense(math.prod(output_shape), dtype="float32", name="likelihood_params"))
        body.append(layers.Reshape(output_shape, dtype="float32"))
        return build_network("decoder", (latent_dim,), self.num_classes, body)

    def _build_hidden_layers(self, sizes: Sequence[int]) -> list[keras.layers.Layer]:
        hidden: list[keras.layers.Layer] = []
        for units in sizes:
            hidden.append(self._dense(units, activation=self.activation))
            if self.batch_norm:
                hidden.append(BatchNormalization(momentum=self.batch_norm_momentum))
        return hidden

    def _dense(self, units: int, **options: Any) -> keras.layers.Dense:
        seed = None if self._random is None else self._random.getrandbits(31)
        initializer = "glorot_uniform" if seed is None else keras.initializers.GlorotUniform(seed)
        return layers.Dense(units, kernel_initializer=initializer, **options)
