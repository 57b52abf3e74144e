"""The elements of a batch that Keras passes to a VAE."""

from typing import Any, NamedTuple

import keras

from vae_tf.model.checks import check_label_type, check_shape
from vae_tf.support.errors import InputError


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


def unpack_batch(data: Any, example_shape: tuple[int, ...] | None, *, conditional: bool) -> Batch:
    """Returns the elements of a batch that `fit` passes.

    Args:
        data: `x`, `(x,)` or `(x, target)`, where x is `[x, labels]` for a conditional model.
        example_shape: Shape of one example, `(H, W, C)` or `(F,)`; `None` if the model is not built.
        conditional: Whether the model is conditional.

    Raises:
        ValueError: The batch has sample weights, or an array has the wrong shape or type.
        TypeError: The labels of a conditional model are missing, or an unconditional model received a list.
    """
    inputs, target, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise InputError("sample_weight is not supported by a VAE; call fit(x) without it")
    x, labels = unpack_inputs(inputs, example_shape, conditional=conditional)
    if target is not None and tuple(target.shape[1:]) != tuple(x.shape[1:]):
        raise ValueError(
            "The target must have the same shape as the input. "
            f"Received: {tuple(target.shape)} for an input of shape {tuple(x.shape)}; pass labels as fit([x, labels])"
        )
    return Batch(x, x if target is None else target, labels)


def unpack_inputs(
    inputs: Any, example_shape: tuple[int, ...] | None, *, conditional: bool
) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
    """Returns the data and the labels of a model's inputs; the labels are `None` for an unconditional model.

    Args:
        inputs: `x`, or `[x, labels]` for a conditional model.
        example_shape: Shape of one example, `(H, W, C)` or `(F,)`; `None` if the model is not built.
        conditional: Whether the model is conditional.

    Raises:
        ValueError: An array has the wrong shape or type.
        TypeError: The labels of a conditional model are missing, or an unconditional model received a list.
    """
    is_list = isinstance(inputs, list | tuple)
    if is_list and not conditional:
        raise TypeError("An unconditional VAE needs x without labels. Received: a list; call fit(x)")
    if conditional and not is_list:
        raise TypeError("A conditional VAE needs [x, labels]. Received: x without labels; call fit([x, labels])")
    arrays = tuple(inputs) if is_list else (inputs,)
    if len(arrays) != 1 + conditional or not all(hasattr(array, "shape") for array in arrays):
        needed = "x and labels must be two arrays" if conditional else "x must be an array"
        received = ", ".join(type(array).__name__ for array in arrays)
        raise InputError(f"{needed}. Received: {received}; convert them with np.asarray, or, in a dataset, with map()")
    x, labels = arrays if conditional else (*arrays, None)
    check_shape(tuple(x.shape), example_shape)
    if labels is not None:
        check_label_type(labels, x.shape[0])
    return x, labels
