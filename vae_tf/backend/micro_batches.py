"""Processes a batch in parts, one at a time, to save memory."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
from keras import ops


def summed_over_parts(
    function: Callable[..., list[tf.Tensor]],
    batch: Sequence[tf.Tensor | None],
    size: int,
    like: Sequence[keras.Variable],
) -> list[tf.Tensor]:
    """Returns a function's results summed over the parts of a batch.

    XLA must know the size of the parts before the loop starts, so a shorter last part is handled after the loop.

    Args:
        function: Maps the arrays of a part to one tensor for each of `like`.
        batch: Arrays `(B, ...)`; a `None` is passed on as `None`.
        size: Examples per part; the last part holds the remainder.
        like: Variables with the shapes and dtypes of the results.
    """
    batch_size = tf.shape(batch[0])[0]
    num_whole, rest = batch_size // size, batch_size % size
    size = ops.minimum(size, batch_size)  # XLA compiles the loop even if it never runs: a part must fit

    def plus(sums: list[tf.Tensor], first: tf.Tensor, count: tf.Tensor) -> list[tf.Tensor]:
        part = (None if values is None else _rows(values, first, count) for values in batch)
        return [total + value for total, value in zip(sums, function(*part), strict=True)]

    # One at a time: overlapping iterations would hold the activations of several parts.
    sums = tf.while_loop(
        lambda number, *sums: number < num_whole,
        lambda number, *sums: [number + 1, *plus(list(sums), number * size, size)],
        [tf.constant(0), *(tf.zeros_like(variable) for variable in like)],
        parallel_iterations=1,
    )[1:]
    return tf.cond(rest > 0, lambda: plus(sums, batch_size - rest, rest), lambda: sums)


def _rows(values: tf.Tensor, first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return ops.slice(values, (first, *[0] * (len(values.shape) - 1)), (count, *values.shape[1:]))
