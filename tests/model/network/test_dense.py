"""The fully connected architecture."""

import numpy as np
import pytest
from keras import layers

from vae_tf.model.network.dense import DenseNetwork

SHAPES = [(8, 8, 1), (9, 8, 3), (11, 15, 1), (13, 16, 3)]


def dense_layers(model):
    return [(layer.units, layer.activation.__name__) for layer in model.layers if isinstance(layer, layers.Dense)]


def test_hidden_layers_have_the_given_sizes_and_activation_and_a_linear_head():
    encoder = DenseNetwork((8, 8, 1), batch_norm=False, hidden_sizes=(7, 5, 3), activation="tanh").build_encoder(4)
    assert dense_layers(encoder) == [(7, "tanh"), (5, "tanh"), (3, "tanh"), (4, "linear")]


def test_decoder_mirrors_the_encoder_and_ends_linear():
    decoder = DenseNetwork((8, 9, 3), batch_norm=True, hidden_sizes=(7, 5, 3), activation="elu").build_decoder(2, 3)
    assert dense_layers(decoder) == [(3, "elu"), (5, "elu"), (7, "elu"), (8 * 9 * 3, "linear")]


def test_default_is_512_256_relu():
    encoder = DenseNetwork((8, 8, 1), batch_norm=False).build_encoder(4)
    assert dense_layers(encoder) == [(512, "relu"), (256, "relu"), (4, "linear")]


def test_batch_normalization_follows_each_hidden_layer_and_no_other():
    dense = DenseNetwork((8, 8, 1), batch_norm=True, hidden_sizes=(6, 5))
    for network in (dense.build_encoder(4), dense.build_decoder(2, 1)):
        kinds = [type(layer).__name__ for layer in network.layers]
        core = [kind for kind in kinds if kind in ("Dense", "BatchNormalization")]
        assert core == ["Dense", "BatchNormalization", "Dense", "BatchNormalization", "Dense"]


def test_plain_has_no_batch_normalization():
    dense = DenseNetwork((8, 8, 1), batch_norm=False, hidden_sizes=(6, 5))
    found = [*dense.build_encoder(4).layers, *dense.build_decoder(2, 1).layers]
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in found)


@pytest.mark.parametrize("shape", SHAPES)
def test_decoder_delivers_exactly_the_input_shape(shape):
    decoder = DenseNetwork(shape, batch_norm=True, hidden_sizes=(4,)).build_decoder(2, shape[-1])
    assert decoder(np.zeros((3, 2), "float32")).shape == (3, *shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_encoder_delivers_the_asked_number_of_parameters(shape):
    encoder = DenseNetwork(shape, batch_norm=True, hidden_sizes=(4,)).build_encoder(6)
    assert encoder(np.zeros((3, *shape), "float32")).shape == (3, 6)
