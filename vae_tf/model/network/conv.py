"""The convolutional architecture of both notebook versions, for images of at least 8x8 pixels.

For 50x50x1 images and 128 latent dimensions, it has exactly as many parameters as the original: 3,501,568 in the
encoder and 10,740,609 in the decoder without batch normalization, 3,502,464 and 10,742,401 with batch normalization.
"""

import math
from typing import Any

import keras
from keras import layers

from vae_tf.model.layers import BatchNormalization, Conv2D, Conv2DTranspose
from vae_tf.model.network import build_network

ENCODER_FILTERS = (32, 64, 128)
ENCODER_UNITS = (512, 256)
# (filters, kernel size, strides, batch-normalized if the variant is bn) of each transposed convolution before the
# output layer.
DECODER_LAYERS = ((256, 1, 1, True), (128, 3, 2, True), (64, 3, 1, True), (32, 3, 1, False))
DECODER_BASE_FILTERS = 128
CHANNELS_LAST = "channels_last"  # regardless of Keras's global image data format


class ConvNetwork:
    """An encoder of three strided convolutions and a decoder of transposed convolutions, as in the original notebooks.

    Batch normalization, if used, follows the ReLU of each encoder convolution and of the first three transposed
    convolutions. For odd sizes, the upsampled features have one extra row or column, which is cropped.

    Args:
        example_shape: `(height, width, channels)`.
        batch_norm: Whether to use batch normalization (Version 2) or not (Version 1).
        batch_norm_momentum: Momentum of its moving averages.
        num_classes: Number of classes of a conditional model. Labels are concatenated to the encoder's flattened
            features and to the latents.
    """

    def __init__(
        self,
        example_shape: tuple[int, int, int],
        *,
        batch_norm: bool,
        batch_norm_momentum: float = 0.99,
        num_classes: int | None = None,
    ) -> None:
        self.example_shape = example_shape
        self.batch_norm = batch_norm
        self.batch_norm_momentum = batch_norm_momentum
        self.num_classes = num_classes

    def build_encoder(self, params_size: int) -> keras.Model:
        """Returns the encoder, from images `(B, H, W, C)` to float32 `(B, params_size)`."""
        body: list[keras.layers.Layer] = []
        for filters in ENCODER_FILTERS:
            body.append(Conv2D(filters, 3, strides=2, padding="same", data_format=CHANNELS_LAST, activation="relu"))
            if self.batch_norm:
                body.append(BatchNormalization(momentum=self.batch_norm_momentum))
        body.append(layers.Flatten(CHANNELS_LAST))
        head = [layers.Dense(units, activation="relu") for units in ENCODER_UNITS]
        head.append(layers.Dense(params_size, dtype="float32", name="posterior_params"))
        return build_network("encoder", self.example_shape, self.num_classes, body, head)

    def build_decoder(self, latent_dim: int, params_size: int) -> keras.Model:
        """Returns the decoder, from latents `(B, Z)` to float32 `(B, H, W, params_size)`."""
        height, width, _ = self.example_shape
        base = (math.ceil(height / 2), math.ceil(width / 2), DECODER_BASE_FILTERS)
        body: list[keras.layers.Layer] = [
            layers.Dense(math.prod(base), activation="relu"),
            layers.Reshape(base),
        ]
        for filters, kernel_size, strides, is_normalized in DECODER_LAYERS:
            body.append(_conv_transpose(filters, kernel_size, strides=strides, activation="relu"))
            if self.batch_norm and is_normalized:
                body.append(BatchNormalization(momentum=self.batch_norm_momentum))
        if height % 2 or width % 2:
            body.append(layers.Cropping2D(((0, height % 2), (0, width % 2)), CHANNELS_LAST))
        body.append(_conv_transpose(params_size, 3, dtype="float32", name="likelihood_params"))
        return build_network("decoder", (latent_dim,), self.num_classes, body)


def _conv_transpose(filters: int, kernel_size: int, **options: Any) -> Conv2DTranspose:
    return Conv2DTranspose(filters, kernel_size, padding="same", data_format=CHANNELS_LAST, **options)
