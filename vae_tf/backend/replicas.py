"""Communication between the replicas of a strategy, so that together they compute the same result as a single replica.

Each replica processes its own rows of the global batch. With a single replica, these functions add no cost at run
time: the branch is chosen while TensorFlow traces a step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from vae_tf.backend.adam import inner_optimizer


def sum_over_replicas(values: Any) -> Any:
    """Returns a number, or each tensor in a list, summed over all replicas."""
    context = _multi_replica_context()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def mask_to_first_replica(value: tf.Tensor) -> tf.Tensor:
    """Returns the tensor on the first replica, and zeros of the same shape on all others."""
    context = _multi_replica_context()
    if context is None:
        return value
    return tf.where(tf.equal(context.replica_id_in_sync_group, 0), value, tf.zeros_like(value))


def apply_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], weights: Sequence[keras.Variable]
) -> None:
    """Updates weights with gradients that are already summed over all replicas.

    Keras would sum them itself, but only after each replica has clipped its own gradients and checked them for
    non-finite values. This function disables that summation.
    """
    if _multi_replica_context() is not None:
        inner_optimizer(optimizer)._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    optimizer.apply(gradients, weights)


def cond_over_replicas(
    condition: tf.Tensor, true_fn: Callable[..., None], false_fn: Callable[..., None], *values: Any
) -> None:
    """Calls one of two functions that update variables.

    Args:
        condition: bool scalar, the same on every replica.
        true_fn: Called with `values` if the condition is true.
        false_fn: Called with `values` otherwise.
        *values: This replica's tensors, or lists of tensors.
    """
    context = _multi_replica_context()
    if context is None:
        tf.cond(condition, lambda: true_fn(*values), lambda: false_fn(*values))
        return

    def merge_fn(strategy: tf.distribute.Strategy, condition: Any, *values: Any) -> None:
        def call(function: Callable[..., None]) -> Callable[[], None]:
            return lambda: strategy.extended.call_for_each_replica(function, args=values)

        # This runs in cross-replica context: optimizers communicate, which replicas can't do inside a `tf.cond`.
        tf.cond(strategy.experimental_local_results(condition)[0], call(true_fn), call(false_fn))

    context.merge_call(merge_fn, args=(condition, *values))


def standard_normal(shape: Sequence[int], seed: int | keras.random.SeedGenerator) -> tf.Tensor:
    """Returns standard normal noise of the given shape, float32: this replica's rows of the noise of the global batch.

    A generator has the same state on every replica, so all replicas generate the same noise for the global batch.

    Args:
        shape: `(..., B, Z)`; with a single replica, any shape.
        seed: As in `keras.random.normal`.
    """
    context = _multi_replica_context()
    if context is None:
        return keras.random.normal(shape, dtype="float32", seed=seed)
    *leading, count, latent_dim = shape
    counts = context.all_gather(tf.reshape(count, (1,)), axis=0)
    first = tf.cumsum(counts, exclusive=True)[context.replica_id_in_sync_group]
    noise = keras.random.normal((*leading, tf.reduce_sum(counts), latent_dim), dtype="float32", seed=seed)
    return noise[..., first : first + count, :]


def has_multiple_replicas() -> bool:
    """Returns whether the caller is one of several replicas."""
    return _multi_replica_context() is not None


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
    x32 = tf.cast(x, tf.float32)
    axes = list(range(x.shape.rank - 1))
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
    replica_sums = (tf.reduce_sum(x32, axes), tf.reduce_sum(tf.square(x32), axes), count[None])
    num_channels = x.shape[-1]
    sums, squares, count = tf.split(sum_over_replicas(tf.concat(replica_sums, 0)), [num_channels, num_channels, 1])
    mean = sums / count
    variance = tf.maximum(squares / count - tf.square(mean), 0.0)
    outputs = tf.nn.batch_normalization(x32, mean, variance, beta, gamma, epsilon)
    return tf.cast(outputs, x.dtype), mean, variance


def _multi_replica_context() -> tf.distribute.ReplicaContext | None:
    """Returns the replica context if the caller is one of several replicas, otherwise `None`."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
