"""Compiled TensorFlow functions, and gradients."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

Function = TypeVar("Function", bound=Callable[..., Any])
Extra = TypeVar("Extra")


def compiled(function: Function, *, jit: bool = False) -> Function:
    """Returns a compiled version of a function, traced once for each rank and dtype of its arguments.

    Args:
        function: Takes tensors, or tuples of tensors. Loops over tensors must use `keras.ops`.
        jit: Whether to compile it with XLA.
    """
    made: Function = tf.function(function, jit_compile=jit, reduce_retracing=True, autograph=False)
    return made


def compiled_for(function: Function, shapes: Sequence[tuple[int | None, ...]], dtypes: Sequence[str]) -> Function:
    """Returns a compiled version of a function, traced only once, for arguments of the given shapes and dtypes.

    Args:
        function: Takes one tensor per entry of `shapes`.
        shapes: The arguments' shapes, with `None` for the batch size.
        dtypes: One dtype per shape.
    """
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    made: Function = tf.function(function, input_signature=signature, autograph=False)
    return made


def gradients(
    loss: Callable[[], tuple[tf.Tensor, Extra]], weights: Sequence[keras.Variable]
) -> tuple[list[tf.Tensor], Extra]:
    """Returns the gradients of a loss with respect to weights, and the loss function's second result.

    Args:
        loss: Returns the scalar loss, and anything else that it computed on the way.
        weights: Trainable variables.
    """
    with tf.GradientTape() as tape:
        value, extra = loss()
    return tape.gradient(value, weights), extra


def gradient_at(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the sum of a function's results with respect to `values`, in their shape."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        results = function(values)
    return tape.gradient(results, values)
