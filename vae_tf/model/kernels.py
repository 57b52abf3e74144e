"""Paths that need TensorFlow itself, where Keras has no word for them."""

import tensorflow as tf


def normal_per_example(shape: tuple[int, int, int], seeds: tf.Tensor) -> tf.Tensor:
    """Returns noise N(0, 1) that depends on each example's seed alone, float32 of `shape`.

    Args:
        shape: `(K, B, Z)`.
        seeds: int32 `(B, 2)`.
    """
    num_samples, _, latent_dim = shape
    draws = tf.map_fn(
        lambda seed: tf.random.stateless_normal((num_samples, latent_dim), seed),
        seeds,
        fn_output_signature=tf.float32,
    )
    return tf.transpose(draws, (1, 0, 2))
