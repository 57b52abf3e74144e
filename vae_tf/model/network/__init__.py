"""Network families. A backbone makes a matching encoder and decoder as plain Keras models."""

from collections.abc import Sequence
from typing import Protocol

import keras
from keras import layers


class Backbone(Protocol):
    """A family of networks for examples of one shape; those of a conditional model take one-hot labels too."""

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
    """Returns layers in a row as a model.

    Args:
        name: Of the model.
        input_shape: Of one example.
        num_classes: Where there are classes, the model takes the list of the data and one-hot labels.
        stack: The layers; the last puts out `(B, N)` where there is a `rest`.
        rest: The layers after the place where the labels join, by concatenation; by default they join the input.
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
