"""Operations that use TensorFlow directly because Keras has no equivalent."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf


def normal_from_seeds(shape: tuple[int, int, int], seeds: tf.Tensor) -> tf.Tensor:
    """Returns standard normal noise of the given shape, float32, that depends only on each example's seed.

    It transforms whole arrays of uniform numbers (Box & Muller 1958). On a CPU this takes half as long as
    `tf.random.stateless_normal`, which draws one number at a time.

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
    """Returns one-hot labels, float32 `(B, num_classes)`, for integer labels `(B,)`.

    Labels that are out of range raise an error, whereas `tf.one_hot` returns zeros for them.

    Raises:
        tf.errors.InvalidArgumentError: A label lies outside [0, `num_classes`).
    """
    labels = tf.cast(labels, tf.int32)
    message = f"labels must be from 0 to {num_classes - 1}"
    checks = [tf.debugging.assert_non_negative(labels, message), tf.debugging.assert_less(labels, num_classes, message)]
    with tf.control_dependencies([check for check in checks if check is not None]):  # None if it ran eagerly
        return tf.one_hot(labels, num_classes)


def is_single_cpu_replica() -> bool:
    """Returns whether a single replica computes on a CPU, where the fused kernels below are known to be faster."""
    return tf.distribute.get_strategy().num_replicas_in_sync == 1 and not tf.config.get_visible_devices("GPU")


def batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalizes a batch in one fused kernel, as `keras.layers.BatchNormalization` does in training.

    Args:
        x: float32 or bfloat16 `(B, C)` or `(B, H, W, C)`.
        gamma: Scale, float32 `(C,)`.
        beta: Offset, float32 `(C,)`.
        epsilon: Added to the variance.

    Returns:
        The normalized batch in the shape and dtype of `x`, and its mean and (biased) variance, float32 `(C,)` each.
    """
    num_channels = x.shape[-1]
    images = x if x.shape.rank == 4 else tf.reshape(x, (-1, 1, 1, num_channels))
    none = tf.zeros((0,))
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(images) // num_channels, tf.float32)
    return tf.reshape(outputs, tf.shape(x)), mean, variance * ((count - 1) / count)  # undo Bessel's correction


@tf.custom_gradient
def bias_add(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """Returns `x + bias`, `(..., C)`, and computes the gradient of the bias as a matrix product.

    On a CPU this takes half as long as TensorFlow's own reduction. It also prevents TensorFlow from fusing the
    reduction with the gradient of a convolution's kernel, which would slow the latter down by a quarter. In bfloat16
    it is exact up to rounding, while TensorFlow's reduction accumulates in bfloat16 and drops small terms entirely.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.reshape(upstream, (-1, upstream.shape[-1]))
        return upstream, tf.matmul(tf.ones((1, tf.shape(rows)[0]), rows.dtype), rows)[0]

    return tf.nn.bias_add(x, bias), gradient


def conv_transpose_as_conv(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns a transposed convolution of stride 1 with "same" padding, computed as an ordinary convolution.

    TensorFlow fuses an ordinary convolution, but not a transposed one, with the bias and the ReLU that follow it.

    Args:
        x: `(B, H, W, C)`.
        kernel: Kernel of the transposed convolution, of odd height and width, `(kh, kw, filters, C)`.
    """
    return tf.nn.conv2d(x, tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2)), 1, "SAME")


def structural_similarity(originals: np.ndarray, reconstructions: np.ndarray, window: int) -> np.ndarray:
    """Returns the structural similarity (Wang et al. 2004) of images in [0, 1], at most 1, float32 `(B,)`.

    Args:
        originals: float32 `(B, H, W, C)`.
        reconstructions: float32 of the same shape.
        window: Width and height of the Gaussian window, in pixels.
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
    """Updates a variable and its two moving averages in place, in one kernel (Kingma & Ba 2015, algorithm 1).

    Args:
        variable: The variable to update; float32, like all tensors below.
        momentum: Moving average of the gradient.
        velocity: Moving average of the squared gradient.
        gradient: Gradient of the loss.
        learning_rate: Includes the bias correction from just before section 2.1:
            lr * sqrt(1 - beta_2^t) / (1 - beta_1^t).
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
