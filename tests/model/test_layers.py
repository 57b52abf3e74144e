"""The layers with a faster path are Keras's own up to rounding, and are Keras's own where that path does not apply."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend import kernels
from vae_tf.model import layers

RNG = np.random.default_rng(0)
SHAPES = {"rows": (5,), "images": (6, 4, 5)}


def normal(*shape):
    return RNG.normal(2, 3, shape).astype(np.float32)


def pair(ours, theirs, shape, **options):
    """Our layer and Keras's with the same weights."""
    built = []
    for layer_class in (ours, theirs):
        layer = layer_class(**options)
        layer.build((None, *shape))
        built.append(layer)
    built[1].set_weights(built[0].get_weights())
    return built


def outputs_and_gradients(layer, x, upstream, **call):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, **call)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * upstream)
    weights = [variable.value for variable in layer.trainable_variables]
    return [np.asarray(value, np.float32) for value in (y, *tape.gradient(loss, [x, *weights]))]


def batch_norms(shape, **options):
    ours, theirs = pair(layers.BatchNormalization, keras.layers.BatchNormalization, shape, **options)
    for layer in (ours, theirs):
        layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        layer.beta.assign(np.linspace(-1, 1, shape[-1]))
    return ours, theirs


@pytest.fixture
def no_fused_kernel(monkeypatch):
    def fail(*arguments):
        raise AssertionError("the fused kernel was used")

    for name in ("batch_norm", "bias_add", "conv_transpose_as_conv"):
        monkeypatch.setattr(kernels, name, fail)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_moving_statistics_are_those_of_keras_after_200_steps(shape):
    ours, theirs = batch_norms(shape)
    for step in range(200):
        x = normal((7, 2, 3)[step % 3], *shape)  # 2: where Bessel's correction would double a row's variance
        ours(x, training=True)
        theirs(x, training=True)

    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [2, 9])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_normalized_values_and_gradients_are_those_of_keras(shape, batch_size):
    x, upstream = normal(batch_size, *shape), normal(batch_size, *shape)
    ours, theirs = (outputs_and_gradients(layer, x, upstream, training=True) for layer in batch_norms(shape))

    for value, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_batch_norm_of_bfloat16_is_that_of_float32_up_to_its_rounding():
    x = normal(9, 6, 4, 5)
    ours, _ = batch_norms((6, 4, 5), dtype="mixed_bfloat16")
    _, theirs = batch_norms((6, 4, 5))
    y, expected = ours(x, training=True), theirs(x, training=True)

    assert y.dtype == tf.bfloat16
    np.testing.assert_allclose(np.asarray(y, np.float32), expected, rtol=2**-7, atol=2**-7)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=2**-7)


def test_a_batch_of_one_row_leaves_no_variance():
    ours, theirs = batch_norms((5,))
    for layer in (ours, theirs):
        layer(normal(1, 5), training=True)

    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-6)


@pytest.mark.parametrize("call", [{"training": False}, {}], ids=["in evaluation", "where nothing is said"])
def test_batch_norm_outside_training_is_that_of_keras(no_fused_kernel, call):
    x = normal(9, 5)
    ours, theirs = batch_norms((5,))

    np.testing.assert_array_equal(ours(x, **call), theirs(x, **call))


def test_a_frozen_batch_norm_uses_its_averages(no_fused_kernel):
    ours, _ = batch_norms((5,))
    ours.trainable = False
    ours(normal(9, 5), training=True)

    np.testing.assert_array_equal(ours.moving_mean, np.zeros(5))


def test_float16_takes_the_path_of_keras(no_fused_kernel):
    ours, _ = batch_norms((5,), dtype="mixed_float16")

    assert ours(normal(9, 5), training=True).dtype == tf.float16


def test_a_gpu_takes_the_path_of_keras(no_fused_kernel, monkeypatch):
    x, kernel = normal(9, 6, 4, 5), normal(9, 6, 4, 3)
    batch_norm = batch_norms((6, 4, 5))
    transpose = pair(
        layers.Conv2DTranspose, keras.layers.Conv2DTranspose, kernel.shape[1:], filters=2, kernel_size=3, padding="same"
    )
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"])

    np.testing.assert_allclose(batch_norm[0](x, training=True), batch_norm[1](x, training=True), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(transpose[0](kernel), transpose[1](kernel))


@pytest.mark.parametrize(("kernel_size", "strides"), [(1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("sides", [(6, 4), (5, 7)])
def test_a_transposed_convolution_is_that_of_keras(kernel_size, strides, activation, sides):
    options = {
        "filters": 4,
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": "same",
        "activation": activation,
        "bias_initializer": "normal",
    }
    layer_pair = pair(layers.Conv2DTranspose, keras.layers.Conv2DTranspose, (*sides, 3), **options)
    x, upstream = normal(2, *sides, 3), normal(2, strides * sides[0], strides * sides[1], 4)

    ours, theirs = (outputs_and_gradients(layer, x, upstream) for layer in layer_pair)
    for value, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("sides", [(6, 4), (5, 7)])
def test_a_convolution_is_that_of_keras(activation, sides):
    options = {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": activation}
    layer_pair = pair(layers.Conv2D, keras.layers.Conv2D, (*sides, 3), **options, bias_initializer="normal")
    x, upstream = normal(2, *sides, 3), normal(2, (sides[0] + 1) // 2, (sides[1] + 1) // 2, 4)

    ours, theirs = (outputs_and_gradients(layer, x, upstream) for layer in layer_pair)
    for value, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("layer_class", [layers.Conv2D, layers.Conv2DTranspose])
def test_the_gradient_of_a_bias_in_bfloat16_loses_nothing(layer_class):
    layer = layer_class(2, 3, padding="same", dtype="mixed_bfloat16")
    layer.build((None, 64, 64, 1))
    upstream = tf.ones((8, 64, 64, 2))
    gradient = outputs_and_gradients(layer, normal(8, 64, 64, 1), upstream)[-1]

    np.testing.assert_allclose(gradient, 8 * 64 * 64, rtol=2**-7)


def test_a_transposed_convolution_in_bfloat16_is_that_of_float32_up_to_its_rounding():
    options = {"filters": 4, "kernel_size": 3, "padding": "same"}
    ours, theirs = pair(layers.Conv2DTranspose, keras.layers.Conv2DTranspose, (6, 4, 3), **options)
    half = layers.Conv2DTranspose(**options, dtype="mixed_bfloat16")
    half.build((None, 6, 4, 3))
    half.set_weights(ours.get_weights())
    x = normal(2, 6, 4, 3)

    assert half(x).dtype == tf.bfloat16
    np.testing.assert_allclose(np.asarray(half(x), np.float32), theirs(x), rtol=2**-5, atol=0.1)


@pytest.mark.parametrize(
    "layer", [layers.BatchNormalization(), layers.Conv2D(4, 3), layers.Conv2DTranspose(4, 3, padding="same")]
)
def test_layers_are_made_again_from_their_config(layer):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))

    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
