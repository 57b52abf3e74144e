"""Compiled TensorFlow functions, and gradients."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

Function = TypeVar("Function", bound=Callable[..., Any])
Extra = TypeVar("Extra")


def compile_function(function: Function, *, jit: bool = False) -> Function:
    """Returns a compiled version of a function, traced once for each rank and dtype of its arguments.

    Args:
        function: Its arguments are tensors, or tuples of tensors. Loops over tensors must use `keras.ops`.
        jit: Whether to compile with XLA.
    """
    compiled_function: Function = tf.function(function, jit_compile=jit, reduce_retracing=True, autograph=False)
    return compiled_function


def compile_for_shapes(function: Function, shapes: Sequence[tuple[int | None, ...]], dtypes: Sequence[str]) -> Function:
    """Returns a compiled version of a function, traced once for arguments of the given shapes and dtypes.

    Args:
        function: Takes one tensor per entry of `shapes`.
        shapes: The arguments' shapes, with `None` for the batch size.
        dtypes: One dtype per shape.
    """
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    compiled_function: Function = tf.function(function, input_signature=signature, autograph=False)
    return compiled_function


def gradients(
    loss_fn: Callable[[], tuple[tf.Tensor, Extra]], weights: Sequence[keras.Variable]
) -> tuple[list[tf.Tensor], Extra]:
    """Returns the gradients of a loss with respect to weights, and the loss function's auxiliary outputs.

    Args:
        loss_fn: Returns the scalar loss and any auxiliary outputs.
        weights: Trainable variables.
    """
    with tf.GradientTape() as tape:
        value, extra = loss_fn()
    return tape.gradient(value, weights), extra


def gradient_of_sum(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the sum of a function's results with respect to `values`, in the shape of `values`."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        results = function(values)
    return tape.gradient(results, values)
