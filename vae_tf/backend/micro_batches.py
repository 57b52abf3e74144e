"""Processes a batch as several micro-batches, one after the other, to save memory."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
from keras import ops


def sum_over_micro_batches(
    function: Callable[..., list[tf.Tensor]],
    batch: Sequence[tf.Tensor | None],
    size: int,
    like: Sequence[keras.Variable],
) -> list[tf.Tensor]:
    """Returns a function's results summed over the micro-batches of a batch.

    XLA must know the size of a micro-batch before the loop starts, so a smaller last one is processed after the loop.

    Args:
        function: Maps the arrays of a micro-batch to one tensor for each variable in `like`.
        batch: Each `(B, ...)`, or `None`, which is passed on to the function.
        size: Examples per micro-batch; the last micro-batch contains the remainder.
        like: Variables with the shapes and dtypes of the results.
    """
    batch_size = tf.shape(batch[0])[0]
    num_full, remainder = batch_size // size, batch_size % size
    # XLA compiles the loop body even if it never runs, so `size` must not exceed the batch size.
    size = ops.minimum(size, batch_size)

    def accumulate(sums: list[tf.Tensor], first: tf.Tensor, count: tf.Tensor) -> list[tf.Tensor]:
        micro_batch = (None if values is None else _rows(values, first, count) for values in batch)
        return [total + value for total, value in zip(sums, function(*micro_batch), strict=True)]

    # Iterations that ran in parallel would keep the activations of several micro-batches in memory.
    sums = tf.while_loop(
        lambda number, *sums: number < num_full,
        lambda number, *sums: [number + 1, *accumulate(list(sums), number * size, size)],
        [tf.constant(0), *(tf.zeros_like(variable) for variable in like)],
        parallel_iterations=1,
    )[1:]
    return tf.cond(remainder > 0, lambda: accumulate(sums, batch_size - remainder, remainder), lambda: sums)


def _rows(values: tf.Tensor, first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    return ops.slice(values, (first, *[0] * (len(values.shape) - 1)), (count, *values.shape[1:]))
