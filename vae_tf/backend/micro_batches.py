"""Batches cut into parts, one after the other in memory."""

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
    """Returns the sums, over the parts of a batch, of what a function returns for each.

    XLA needs parts of a size that is known before the first runs, so the short last one stands outside the loop.

    Args:
        function: From the arrays of a part to one tensor for each of `like`.
        batch: Arrays `(B, ...)`; a `None` among them stays one.
        size: Examples in a part; the last has what is left over.
        like: Variables with the shapes and dtypes of the results.
    """
    batch_size = tf.shape(batch[0])[0]
    num_whole, rest = batch_size // size, batch_size % size
    size = ops.minimum(size, batch_size)  # or XLA, which compiles what it never runs, would refuse a shorter batch

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
