"""The convolutional architecture against the topology of the two original notebooks."""

import numpy as np
import pytest

from vae_tf.model.network.conv import ConvNetwork

SIZES = [(8, 8), (8, 9), (9, 8), (11, 15), (13, 16)]
BATCH_NORM = ("BatchNormalization",)


def described(model):
    return [described_layer(layer) for layer in model.layers]


def described_layer(layer):
    kind = type(layer).__name__
    if kind == "Dense":
        return kind, layer.units, layer.activation.__name__
    if kind in ("Conv2D", "Conv2DTranspose"):
        return kind, layer.filters, *layer.kernel_size, *layer.strides, layer.padding, layer.activation.__name__
    return (kind,)


def conv(filters):
    return "Conv2D", filters, 3, 3, 2, 2, "same", "relu"


def transposed(filters, kernel, strides):
    return "Conv2DTranspose", filters, kernel, kernel, strides, strides, "same", "relu"


@pytest.mark.parametrize("batch_norm", [False, True])
def test_encoder_is_the_original_one(batch_norm):
    norm = [BATCH_NORM] if batch_norm else []
    encoder = ConvNetwork((50, 50, 1), batch_norm=batch_norm).build_encoder(256)
    assert described(encoder) == [
        *[conv(32), *norm, conv(64), *norm, conv(128), *norm],
        *[("Flatten",), ("Dense", 512, "relu"), ("Dense", 256, "relu"), ("Dense", 256, "linear")],
    ]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_decoder_is_the_original_one_up_to_its_logits(batch_norm):
    norm = [BATCH_NORM] if batch_norm else []
    decoder = ConvNetwork((50, 50, 1), batch_norm=batch_norm).build_decoder(128, 1)
    assert described(decoder) == [
        *[("Dense", 25 * 25 * 128, "relu"), ("Reshape",)],
        *[transposed(256, 1, 1), *norm, transposed(128, 3, 2), *norm, transposed(64, 3, 1), *norm],
        *[transposed(32, 3, 1), ("Conv2DTranspose", 1, 3, 3, 1, 1, "same", "linear")],
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_decoder_delivers_exactly_the_input_shape(size, channels):
    decoder = ConvNetwork((*size, channels), batch_norm=False).build_decoder(2, channels)
    assert decoder(np.zeros((2, 2), "float32")).shape == (2, *size, channels)


@pytest.mark.parametrize("size", SIZES)
def test_encoder_delivers_the_asked_number_of_parameters(size):
    encoder = ConvNetwork((*size, 3), batch_norm=True).build_encoder(10)
    assert encoder(np.zeros((2, *size, 3), "float32")).shape == (2, 10)


def test_every_pixel_of_an_odd_image_depends_on_the_latents():
    decoder = ConvNetwork((9, 11, 1), batch_norm=False).build_decoder(4, 1)
    images = np.asarray(decoder(np.random.default_rng(0).normal(size=(8, 4)).astype("float32")))
    assert (images.std(axis=0) > 0).all()
