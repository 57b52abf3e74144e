"""The convolutional architecture of the two notebook versions, for pictures of any size from 8x8 up.

At 50x50x1 with 128 latent dimensions it is the original to the unit: 3,501,568 encoder and 10,740,609
decoder parameters plain, 3,502,464 and 10,742,401 with batch normalization.
"""

import math

import keras
from keras import layers

from vae_tf.model.layers import BatchNormalization, Conv2D, Conv2DTranspose
from vae_tf.model.network import network

ENCODER_FILTERS = (32, 64, 128)
ENCODER_UNITS = (512, 256)
# (filters, kernel size, strides, normalized in bn) of the transposed convolutions between Dense and output.
DECODER_LAYERS = ((256, 1, 1, True), (128, 3, 2, True), (64, 3, 1, True), (32, 3, 1, False))
DECODER_BASE_FILTERS = 128


class ConvBackbone:
    """Encoder of three strided convolutions, decoder of transposed ones, as in the original notebooks.

    With batch normalization it follows each encoder convolution and the first three transposed ones, after
    their ReLU. An odd side is reached by cropping the doubled half.

    Args:
        example_shape: `(height, width, channels)`.
        batch_norm: Whether to normalize (Version 2) or not (Version 1).
        num_classes: Classes of a conditional model; labels join where the encoder is flat, and the latents.
    """

    def __init__(
        self, example_shape: tuple[int, int, int], *, batch_norm: bool, num_classes: int | None = None
    ) -> None:
        self.example_shape = example_shape
        self.batch_norm = batch_norm
        self.num_classes = num_classes

    def encoder(self, params_size: int) -> keras.Model:
        """Returns the network from pictures `(B, H, W, C)` to float32 `(B, params_size)`."""
        stack: list[keras.layers.Layer] = []
        for filters in ENCODER_FILTERS:
            stack.append(Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
            if self.batch_norm:
                stack.append(BatchNormalization())
        stack.append(layers.Flatten())
        rest = [layers.Dense(units, activation="relu") for units in ENCODER_UNITS]
        rest.append(layers.Dense(params_size, dtype="float32", name="posterior_params"))
        return network("encoder", self.example_shape, self.num_classes, stack, rest)

    def decoder(self, latent_dim: int, params_channels: int) -> keras.Model:
        """Returns the network from latents `(B, Z)` to float32 `(B, H, W, params_channels)`."""
        height, width, _ = self.example_shape
        base = (math.ceil(height / 2), math.ceil(width / 2), DECODER_BASE_FILTERS)
        stack: list[keras.layers.Layer] = [
            layers.Dense(math.prod(base), activation="relu"),
            layers.Reshape(base),
        ]
        for filters, kernel_size, strides, normalized in DECODER_LAYERS:
            stack.append(Conv2DTranspose(filters, kernel_size, strides=strides, padding="same", activation="relu"))
            if self.batch_norm and normalized:
                stack.append(BatchNormalization())
        if height % 2 or width % 2:
            stack.append(layers.Cropping2D(((0, height % 2), (0, width % 2))))
        stack.append(Conv2DTranspose(params_channels, 3, padding="same", dtype="float32", name="likelihood_params"))
        return network("decoder", (latent_dim,), self.num_classes, stack)
