"""Communication between the replicas of a strategy, so that together they compute the same as a single one.

Each replica holds some rows of the global batch. With a single replica nothing here has a cost at run time: the path
is chosen while TensorFlow traces a step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from vae_tf.backend.adam import updating


def sum_over_replicas(values: Any) -> Any:
    """Returns a number, or each tensor in a list, summed over all replicas."""
    context = _context_of_several()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def on_first(value: tf.Tensor) -> tf.Tensor:
    """Returns a tensor on the first replica, and zeros in its place on every other."""
    context = _context_of_several()
    if context is None:
        return value
    return tf.where(tf.equal(context.replica_id_in_sync_group, 0), value, tf.zeros_like(value))


def apply(optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], weights: Sequence[keras.Variable]) -> None:
    """Updates weights with gradients that are already summed over all replicas.

    Keras would sum them itself, but only after each replica has clipped its own gradients and checked them for
    non-finite values. This function turns that sum off.
    """
    if _context_of_several() is not None:
        updating(optimizer)._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    optimizer.apply(gradients, weights)


def cond(condition: tf.Tensor, yes: Callable[..., None], no: Callable[..., None], *values: Any) -> None:
    """Calls one of two functions that update variables.

    Args:
        condition: bool scalar, the same on every replica.
        yes: Called with `values` if the condition is true.
        no: Called with `values` otherwise.
        *values: This replica's tensors, or lists of tensors.
    """
    context = _context_of_several()
    if context is None:
        tf.cond(condition, lambda: yes(*values), lambda: no(*values))
        return

    def of_all(strategy: tf.distribute.Strategy, condition: Any, *values: Any) -> None:
        def call(function: Callable[..., None]) -> Callable[[], None]:
            return lambda: strategy.extended.call_for_each_replica(function, args=values)

        # This runs in cross-replica context: optimizers communicate, which replicas can't do inside a condition.
        tf.cond(strategy.experimental_local_results(condition)[0], call(yes), call(no))

    context.merge_call(of_all, args=(condition, *values))


def standard_normal(shape: Sequence[int], seed: int | keras.random.SeedGenerator) -> tf.Tensor:
    """Returns standard normal noise, float32 of `shape`: this replica's rows of the noise of the global batch.

    A generator has the same state on every replica, so all of them draw the same noise for the global batch.

    Args:
        shape: `(..., B, Z)`; with a single replica, any shape.
        seed: As in `keras.random.normal`.
    """
    context = _context_of_several()
    if context is None:
        return keras.random.normal(shape, dtype="float32", seed=seed)
    *draws, count, latent_dim = shape
    counts = context.all_gather(tf.reshape(count, (1,)), axis=0)
    first = tf.cumsum(counts, exclusive=True)[context.replica_id_in_sync_group]
    noise = keras.random.normal((*draws, tf.reduce_sum(counts), latent_dim), dtype="float32", seed=seed)
    return noise[..., first : first + count, :]


def has_several() -> bool:
    """Returns whether the caller is one of several replicas."""
    return _context_of_several() is not None


def batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalizes the global batch, as `keras.layers.BatchNormalization` does in training.

    Args:
        x: This replica's examples, `(B, C)` or `(B, H, W, C)`.
        gamma: Scale, float32 `(C,)`.
        beta: Offset, float32 `(C,)`.
        epsilon: Added to the variance.

    Returns:
        The normalized examples in the shape and dtype of `x`, and the mean and biased variance of the global batch,
        float32 `(C,)` each.
    """
    wide = tf.cast(x, tf.float32)
    axes = list(range(x.shape.rank - 1))
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
    of_replica = (tf.reduce_sum(wide, axes), tf.reduce_sum(tf.square(wide), axes), count[None])
    num_channels = x.shape[-1]
    sums, squares, count = tf.split(sum_over_replicas(tf.concat(of_replica, 0)), [num_channels, num_channels, 1])
    mean = sums / count
    variance = tf.maximum(squares / count - tf.square(mean), 0.0)
    outputs = tf.nn.batch_normalization(wide, mean, variance, beta, gamma, epsilon)
    return tf.cast(outputs, x.dtype), mean, variance


def _context_of_several() -> tf.distribute.ReplicaContext | None:
    """Returns the replica context if the caller is one of several replicas, otherwise `None`."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
