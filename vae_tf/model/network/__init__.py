"""Network architectures; each one builds a matching encoder and decoder as plain Keras models."""

from collections.abc import Sequence
from typing import Protocol

import keras
from keras import layers


class Network(Protocol):
    """An encoder and a decoder for examples of one shape; for a conditional model, both also take one-hot labels."""

    def build_encoder(self, params_size: int) -> keras.Model:
        """Returns the encoder, from data `(B, H, W, C)` to float32 `(B, params_size)`."""
        ...

    def build_decoder(self, latent_dim: int, params_size: int) -> keras.Model:
        """Returns the decoder, from latents `(B, Z)` to float32 `(B, H, W, params_size)`."""
        ...


def build_network(
    name: str,
    input_shape: tuple[int, ...],
    num_classes: int | None,
    body: Sequence[keras.layers.Layer],
    head: Sequence[keras.layers.Layer] = (),
) -> keras.Model:
    """Returns a model that applies layers one after the other.

    Args:
        name: Name of the model.
        input_shape: Shape of one example.
        num_classes: If set, the model takes a list of the data and one-hot labels.
        body: The layers before the head. If there is a head, the last layer of the body must output `(B, N)`.
        head: The layers after the body. Labels are concatenated to the input of the head if there is one, otherwise to
            the input of the body.
    """
    if num_classes is None:
        return keras.Sequential([keras.Input(input_shape), *body, *head], name=name)
    values, labels = keras.Input(input_shape), keras.Input((num_classes,), name="labels")
    before_labels, after_labels = (body, head) if head else ((), body)
    joined = layers.Concatenate()([_apply_layers(before_labels, values), labels])
    return keras.Model([values, labels], _apply_layers(after_labels, joined), name=name)


def _apply_layers(layers_to_apply: Sequence[keras.layers.Layer], values: keras.KerasTensor) -> keras.KerasTensor:
    for layer in layers_to_apply:
        values = layer(values)
    return values
