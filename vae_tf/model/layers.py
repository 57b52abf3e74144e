"""Keras layers that use faster kernels from `vae_tf.backend.kernels` if available; results match up to rounding."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from vae_tf.backend import kernels, replicas

FUSED_DTYPES = ("float32", "bfloat16")


def find_batch_normalization(network: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Yields the batch normalization layers of a network, including those of networks inside it."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from find_batch_normalization(layer)


@keras.saving.register_keras_serializable(package="vae_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization of `(B, C)` or `(B, H, W, C)`, over all replicas.

    Keras composes batch normalization from about a dozen operations. On a single CPU, this layer uses TensorFlow's
    fused kernel instead; with several replicas, it communicates once per batch instead of three times.

    Args:
        **kwargs: Passed to `keras.layers.BatchNormalization`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"synchronized": True, **kwargs})

    def call(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Returns the normalized batch; in training, also updates the moving averages."""
        if training and self.trainable and replicas.has_multiple_replicas():
            normalize = replicas.batch_norm
        elif training and self.trainable and kernels.is_single_cpu_replica() and self.compute_dtype in FUSED_DTYPES:
            normalize = kernels.batch_norm
        else:
            return super().call(inputs, training=training)
        outputs, mean, variance = normalize(inputs, self.gamma, self.beta, self.epsilon)
        for average, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + current * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="vae_tf")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a faster bias gradient on a single CPU."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `(B, H', W', filters)` for `(B, H, W, C)`."""
        if not kernels.is_single_cpu_replica():
            return super().call(inputs)
        outputs = self.convolution_op(inputs, ops.cast(self.kernel, inputs.dtype))
        return _apply_bias_and_activation(self, outputs)


@keras.saving.register_keras_serializable(package="vae_tf")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with faster gradients on a single CPU.

    It supports only "same" padding and odd kernel sizes.
    """

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Returns `(B, H * stride, W * stride, filters)` for `(B, H, W, C)`."""
        if not kernels.is_single_cpu_replica():
            return super().call(inputs)
        kernel = ops.cast(self.kernel, inputs.dtype)
        if self.strides == (1, 1):
            outputs = kernels.conv_transpose_as_conv(inputs, kernel)
        else:
            outputs = ops.conv_transpose(inputs, kernel, self.strides, self.padding, data_format=self.data_format)
        return _apply_bias_and_activation(self, outputs)


def _apply_bias_and_activation(layer: keras.layers.Layer, outputs: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a convolution's outputs with the bias added and the activation applied."""
    return layer.activation(kernels.bias_add(outputs, ops.cast(layer.bias, outputs.dtype)))
