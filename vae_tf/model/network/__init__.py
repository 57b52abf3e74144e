"""Network families; a backbone creates a matching encoder and decoder as plain Keras models."""

from collections.abc import Sequence
from typing import Protocol

import keras
from keras import layers


class Backbone(Protocol):
    """A family of networks for examples of one shape; networks of a conditional model also take one-hot labels."""

    def encoder(self, params_size: int) -> keras.Model:
        """Returns the network from data `(B, H, W, C)` to float32 `(B, params_size)`."""
        ...

    def decoder(self, latent_dim: int, params_channels: int) -> keras.Model:
        """Returns the network from latents `(B, Z)` to float32 `(B, H, W, params_channels)`."""
        ...


def network(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    stack: Sequence[keras.layers.Layer],
    rest: Sequence[keras.layers.Layer] = (),
) -> keras.Model:
    """Returns a model that applies layers one after the other.

    Args:
        name: Name of the model.
        input_shape: Shape of one example.
        num_classes: If set, the model takes a list of the data and one-hot labels.
        stack: The layers. If there is a `rest`, the last of them outputs `(B, N)`.
        rest: The layers after the point where labels are concatenated; by default, labels are concatenated to the
            input.
    """
    if num_classes is None:
        return keras.Sequential([keras.Input(input_shape), *stack, *rest], name=name)
    values, labels = keras.Input(input_shape), keras.Input((num_classes,), name="labels")
    before, after = (stack, rest) if rest else ((), stack)
    joined = layers.Concatenate()([_through(before, values), labels])
    return keras.Model([values, labels], _through(after, joined), name=name)


def _through(stack: Sequence[keras.layers.Layer], values: keras.KerasTensor) -> keras.KerasTensor:
    for layer in stack:
        values = layer(values)
    return values
