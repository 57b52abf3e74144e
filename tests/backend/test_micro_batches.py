"""Batches in parts: the update of the whole batch, but for batch normalization, which sees each part alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend.micro_batches import sum_over_micro_batches
from vae_tf.model import VAE, build_vae

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).random((22, *SHAPE), np.float32)
NOISY = np.random.default_rng(1).random((22, *SHAPE), np.float32)
CLASSES = np.arange(22) % 3
MOMENTUM = 0.99


def compiled_vae(micro_batch_size, optimizer, variant="plain", num_classes=None, jit_compile=False):
    keras.utils.set_random_seed(0)
    vae = build_vae(SHAPE, 2, "dense", variant, hidden_sizes=(6,), num_classes=num_classes)
    vae.micro_batch_size = micro_batch_size
    vae.compile(optimizer, jit_compile=jit_compile)
    return vae


def fitted(micro_batch_size, *data, **options):
    """The weights and history of a VAE after batches of 10, 10 and 2, twice."""
    vae = compiled_vae(micro_batch_size, keras.optimizers.SGD(1e-3), **options)
    history = vae.fit(*data, batch_size=10, epochs=2, shuffle=False, verbose=0).history
    return vae.get_weights(), history


@pytest.mark.parametrize(("size", "ends"), [(4, [4, 8, 10]), (5, [5, 10]), (10, [10]), (16, [10])])
def test_parts_are_of_one_size_but_the_last(size, ends):
    values, parts = tf.range(10.0), []

    def function(part, missing):
        assert missing is None
        parts.append(part.numpy().tolist())
        return [tf.reduce_sum(part**2)]

    (total,) = sum_over_micro_batches(function, [values, None], size, [tf.Variable(0.0)])

    assert parts == [list(range(start, end)) for start, end in zip([0, *ends], ends, strict=False)]
    assert float(total) == 285


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("data", "num_classes"),
    [
        pytest.param([IMAGES], None, marks=pytest.mark.slow),
        pytest.param([NOISY, IMAGES], None, marks=pytest.mark.slow),
        ([[NOISY, CLASSES], IMAGES], 3),
    ],
)
def test_a_batch_in_parts_is_one_update(data, num_classes, jit_compile):
    options = {"num_classes": num_classes, "jit_compile": jit_compile}
    weights, history = fitted(4, *data, **options)
    expected, expected_history = fitted(None, *data, **options)

    for weight, wanted in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, wanted, rtol=1e-5, atol=1e-6)
    for name, values in expected_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [pytest.param(8, marks=pytest.mark.slow), 10])
def test_batch_normalization_sees_each_part_alone(count, jit_compile):
    vae = compiled_vae(4, keras.optimizers.SGD(0.0), "bn", jit_compile=jit_compile)
    flatten, dense, batch_norm, _ = vae.encoder.layers
    activations = keras.ops.convert_to_numpy(dense(flatten(IMAGES[:count])))
    vae.train_on_batch(IMAGES[:count])

    mean, variance = 0.0, 1.0
    for first in range(0, count, 4):
        part = activations[first : first + 4]
        mean = MOMENTUM * mean + (1 - MOMENTUM) * part.mean(axis=0)
        variance = MOMENTUM * variance + (1 - MOMENTUM) * part.var(axis=0)
    np.testing.assert_allclose(batch_norm.moving_mean.numpy(), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(batch_norm.moving_variance.numpy(), variance, rtol=1e-4)


def test_the_size_must_be_positive():
    vae = build_vae(SHAPE, 2, "dense", "plain", hidden_sizes=(6,))
    with pytest.raises(ValueError, match=r"micro_batch_size must be at least 1\. Received: micro_batch_size=0"):
        VAE.from_config({**vae.get_config(), "micro_batch_size": 0})
