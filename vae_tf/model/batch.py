"""The elements of a batch that Keras passes to a VAE."""

from typing import Any, NamedTuple

import keras


class Batch(NamedTuple):
    """The elements of a batch.

    Attributes:
        inputs: Inputs of the encoder `(B, H, W, C)`.
        target: The data that the likelihood scores: the inputs, or the data before it was corrupted.
        labels: Classes `(B,)` for a conditional model, otherwise `None`.
    """

    inputs: Any
    target: Any
    labels: Any


def unpack_batch(data: Any, *, conditional: bool) -> Batch:
    """Returns the elements of a batch that `fit` passes.

    Args:
        data: `x`, `(x,)` or `(x, target)`, where x is `[x, labels]` for a conditional model.
        conditional: Whether the model is conditional.

    Raises:
        ValueError: The batch has sample weights, or the shape of the target does not match the data.
        TypeError: The labels of a conditional model are missing, or an unconditional model received a list.
    """
    inputs, target, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("sample_weight is not supported by a VAE; call fit(x) without it")
    x, labels = unpack_inputs(inputs, conditional=conditional)
    if target is not None and tuple(target.shape[1:]) != tuple(x.shape[1:]):
        raise ValueError(
            "The target must have the same shape as the input. "
            f"Received: {tuple(target.shape)} for an input of shape {tuple(x.shape)}; pass labels as fit([x, labels])"
        )
    return Batch(x, x if target is None else target, labels)


def unpack_inputs(inputs: Any, *, conditional: bool) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
    """Returns the data and the labels of a model's inputs; the labels are `None` for an unconditional model.

    Args:
        inputs: `x`, or `[x, labels]` for a conditional model.
        conditional: Whether the model is conditional.

    Raises:
        TypeError: The labels of a conditional model are missing, or an unconditional model received a list.
    """
    if not conditional:
        if isinstance(inputs, (list, tuple)):
            raise TypeError("An unconditional VAE needs x without labels. Received: a list; call fit(x)")
        return inputs, None
    if not isinstance(inputs, (list, tuple)):
        raise TypeError("A conditional VAE needs [x, labels]. Received: x without labels; call fit([x, labels])")
    x, labels = inputs
    return x, labels
