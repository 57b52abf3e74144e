"""Functions compiled by TensorFlow, and gradients."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

Function = TypeVar("Function", bound=Callable[..., Any])
Extra = TypeVar("Extra")


def compiled(function: Function, *, jit: bool = False) -> Function:
    """Returns a function of tensors, traced once for each rank and dtype of its arguments.

    Args:
        function: Of tensors, or tuples of tensors; loops over tensors go through `keras.ops`.
        jit: Whether XLA compiles it.
    """
    made: Function = tf.function(function, jit_compile=jit, reduce_retracing=True, autograph=False)
    return made


def compiled_for(function: Function, shapes: Sequence[tuple[int | None, ...]], dtypes: Sequence[str]) -> Function:
    """Returns a function of tensors that is traced once, for arguments of these shapes and dtypes.

    Args:
        function: Of as many tensors as there are `shapes`.
        shapes: `None` in place of the batch size.
        dtypes: One for each shape.
    """
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    made: Function = tf.function(function, input_signature=signature, autograph=False)
    return made


def gradients(
    loss: Callable[[], tuple[tf.Tensor, Extra]], weights: Sequence[keras.Variable]
) -> tuple[list[tf.Tensor], Extra]:
    """Returns the gradients of a loss with respect to weights, and what else the function returned.

    Args:
        loss: Returns the loss, a scalar, and anything else that it computed on the way.
        weights: Trainable variables.
    """
    with tf.GradientTape() as tape:
        value, extra = loss()
    return tape.gradient(value, weights), extra


def gradient_at(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the sum of a function's results, in the shape of `values`."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        results = function(values)
    return tape.gradient(results, values)
