"""Paths that need TensorFlow itself, where Keras has no word for them."""

import math

import tensorflow as tf


def normal_per_example(shape: tuple[int, int, int], seeds: tf.Tensor) -> tf.Tensor:
    """Returns noise N(0, 1) that depends on each example's seed alone, float32 of `shape`.

    The normals come from uniforms by Box & Muller (1958): as whole arrays that costs half of what
    `tf.random.stateless_normal` takes, which goes number by number on a CPU.

    Args:
        shape: `(K, B, Z)`.
        seeds: int32 `(B, 2)`.
    """
    num_samples, _, latent_dim = shape
    num_pairs = math.ceil(latent_dim / 2)
    uniforms = tf.map_fn(
        lambda seed: tf.random.stateless_uniform((2, num_samples, num_pairs), seed),
        seeds,
        fn_output_signature=tf.float32,
    )
    radii, angles = tf.unstack(tf.transpose(uniforms, (1, 2, 0, 3)))
    radii = tf.sqrt(-2 * tf.math.log(1 - radii))  # the uniforms lie in [0, 1)
    angles *= 2 * math.pi
    return tf.concat([radii * tf.cos(angles), radii * tf.sin(angles)], axis=-1)[..., :latent_dim]


def one_hot(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Returns float32 `(B, num_classes)` for whole numbers `(B,)`; where TensorFlow alone puts zeros, it stops.

    Raises:
        tf.errors.InvalidArgumentError: A label is below 0 or not below `num_classes`.
    """
    labels = tf.cast(labels, tf.int32)
    message = f"labels must lie in 0..{num_classes - 1}"
    checks = [tf.debugging.assert_non_negative(labels, message), tf.debugging.assert_less(labels, num_classes, message)]
    with tf.control_dependencies([check for check in checks if check is not None]):  # None where it ran at once
        return tf.one_hot(labels, num_classes)
