"""Paths that need TensorFlow itself, where Keras has no word for them."""

import math
from collections.abc import Callable

import numpy as np
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


def is_one_cpu() -> bool:
    """Returns whether one replica computes, and on a CPU: there the fused paths below are known to be faster."""
    return tf.distribute.get_strategy().num_replicas_in_sync == 1 and not tf.config.get_visible_devices("GPU")


def batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalizes a batch in one kernel, as `keras.layers.BatchNormalization` does in training.

    Args:
        x: float32 or bfloat16 `(B, C)` or `(B, H, W, C)`.
        gamma: Scale, float32 `(C,)`.
        beta: Offset, float32 `(C,)`.
        epsilon: Added to the variance.

    Returns:
        The normalized batch in the shape and type of `x`, and the mean and the (biased) variance, float32 `(C,)`.
    """
    num_channels = x.shape[-1]
    pictures = x if x.shape.rank == 4 else tf.reshape(x, (-1, 1, 1, num_channels))
    none = tf.zeros((0,))
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=pictures, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(pictures) // num_channels, tf.float32)
    return tf.reshape(outputs, tf.shape(x)), mean, variance * ((count - 1) / count)  # without Bessel's correction


@tf.custom_gradient
def bias_add(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Returns `x + bias`, `(..., C)`, with the bias's gradient as a matrix product.

    On a CPU that takes half of what TensorFlow's own reduction does, and keeps TensorFlow from fusing it with the
    gradient of a convolution's kernel, which slows that down by a quarter. In bfloat16 it is exact up to rounding,
    where that reduction, which adds up in bfloat16, loses whole terms.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.reshape(upstream, (-1, upstream.shape[-1]))
        return upstream, tf.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)[0]

    return tf.nn.bias_add(x, bias), gradient


def conv_transpose_as_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns the transposed convolution of stride 1 with "same" padding, as the convolution that it is.

    TensorFlow fuses a convolution, and not a transposed one, with the bias and the ReLU that follow.

    Args:
        x: `(B, H, W, C)`.
        kernel: Of a transposed convolution with odd sides, `(kh, kw, filters, C)`.
    """
    return tf.nn.conv2d(x, tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2)), 1, "SAME")


def structural_similarity(originals: np.ndarray, reconstructions: np.ndarray, window: int) -> np.ndarray:
    """Returns the structural similarity (Wang et al. 2004) of images in [0, 1], at most 1, float32 `(B,)`.

    Args:
        originals: float32 `(B, H, W, C)`.
        reconstructions: The same shape.
        window: Side of the Gaussian window, in pixels.
    """
    similarity: np.ndarray = tf.image.ssim(originals, reconstructions, max_val=1.0, filter_size=window).numpy()
    return similarity


def apply_adam(
    variable: tf.Variable,
    momentum: tf.Variable,
    velocity: tf.Variable,
    gradient: tf.Tensor,
    learning_rate: tf.Tensor,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Updates a variable and its two averages in place, in one kernel (Kingma & Ba 2015, algorithm 1).

    Args:
        variable: float32, as are all others.
        momentum: Average of the gradient.
        velocity: Average of the squared gradient.
        gradient: Of the loss.
        learning_rate: With the bias correction of the section before 2.1: lr * sqrt(1 - beta_2^t) / (1 - beta_1^t).
        beta_1: Decay of `momentum`.
        beta_2: Decay of `velocity`.
        epsilon: Added to the square root of `velocity`.
    """
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=momentum.handle,
        v=velocity.handle,
        beta1_power=0.0,
        beta2_power=0.0,
        lr=learning_rate,
        beta1=beta_1,
        beta2=beta_2,
        epsilon=epsilon,
        grad=gradient,
    )
