"""What the replicas of a strategy need of each other, so that together they compute what one would.

Each holds some rows of the global batch. With one replica nothing here costs anything: it is decided as TensorFlow
traces a step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from vae_tf.backend.adam import updating


def total(values: Any) -> Any:
    """Returns the sums over all replicas of a number, or of each in a list of tensors."""
    context = _context_of_several()
    return values if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def apply(optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor], weights: Sequence[keras.Variable]) -> None:
    """Updates weights by gradients that are summed over all replicas already.

    Keras adds them up by itself, but after it has clipped them and looked for those that are not finite, each replica
    for itself. It is kept from that.
    """
    if _context_of_several() is not None:
        updating(optimizer)._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    optimizer.apply(gradients, weights)


def choose(condition: tf.Tensor, yes: Callable[..., None], no: Callable[..., None], *values: Any) -> None:
    """Calls one of two functions that change variables.

    Args:
        condition: bool scalar, the same on every replica.
        yes: Function of `values`.
        no: Another.
        *values: Tensors, or lists of them, of this replica.
    """
    context = _context_of_several()
    if context is None:
        tf.cond(condition, lambda: yes(*values), lambda: no(*values))
        return

    def of_all(strategy: tf.distribute.Strategy, condition: Any, *values: Any) -> None:
        def call(function: Callable[..., None]) -> Callable[[], None]:
            return lambda: strategy.extended.call_for_each_replica(function, args=values)

        # Outside the replicas: within a condition they may not turn to each other, as optimizers do.
        tf.cond(strategy.experimental_local_results(condition)[0], call(yes), call(no))

    context.merge_call(of_all, args=(condition, *values))


def standard_normal(shape: Sequence[int], seed: int | keras.random.SeedGenerator) -> tf.Tensor:
    """Returns noise N(0, 1), float32 of `shape`: of the noise of the global batch the rows of this replica's examples.

    A generator is in the same state on every replica, so that each draws the same noise for the global batch.

    Args:
        shape: `(..., B, Z)`; where one replica computes, any.
        seed: As of `keras.random.normal`.
    """
    context = _context_of_several()
    if context is None:
        return keras.random.normal(shape, dtype="float32", seed=seed)
    *draws, count, latent_dim = shape
    counts = context.all_gather(tf.reshape(count, (1,)), axis=0)
    first = tf.cumsum(counts, exclusive=True)[context.replica_id_in_sync_group]
    noise = keras.random.normal((*draws, tf.reduce_sum(counts), latent_dim), dtype="float32", seed=seed)
    return noise[..., first : first + count, :]


def are_several() -> bool:
    """Returns whether a replica computes that is not the only one."""
    return _context_of_several() is not None


def batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalizes the global batch, as `keras.layers.BatchNormalization` does in training.

    Args:
        x: Of the examples of this replica, `(B, C)` or `(B, H, W, C)`.
        gamma: Scale, float32 `(C,)`.
        beta: Offset, float32 `(C,)`.
        epsilon: Added to the variance.

    Returns:
        The normalized examples as `x`, and mean and biased variance of the global batch, float32 `(C,)`.
    """
    wide = tf.cast(x, tf.float32)
    axes = list(range(x.shape.rank - 1))
    count = tf.cast(tf.reduce_prod(tf.shape(x)[:-1]), tf.float32)
    of_replica = (tf.reduce_sum(wide, axes), tf.reduce_sum(tf.square(wide), axes), count[None])
    num_channels = x.shape[-1]
    sums, squares, count = tf.split(total(tf.concat(of_replica, 0)), [num_channels, num_channels, 1])
    mean = sums / count
    variance = tf.maximum(squares / count - tf.square(mean), 0.0)
    outputs = tf.nn.batch_normalization(wide, mean, variance, beta, gamma, epsilon)
    return tf.cast(outputs, x.dtype), mean, variance


def _context_of_several() -> tf.distribute.ReplicaContext | None:
    """The context of a replica that is not the only one."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
