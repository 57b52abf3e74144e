"""Adam with a fused kernel is Keras's Adam up to rounding, whatever Keras wraps around the update."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend.adam import Adam

SHAPES = ((4, 3), (3,))
# The kernel takes 1 - beta_2 in float32, 2e-5 off for 0.999, and updates go by its square root.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def trained(optimizer_class, steps=200, wrap=lambda optimizer: optimizer, **options):
    """The variables after so many steps, and the optimizer."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape), dtype="float32") for shape in SHAPES]
    optimizer = wrap(optimizer_class(**options))
    optimizer.build(variables)

    @tf.function
    def step(gradients):
        optimizer.apply([gradient * optimizer.scale_loss(1.0) for gradient in gradients], variables)

    for _ in range(steps):
        step([tf.constant(rng.normal(0.3, size=shape), tf.float32) for shape in SHAPES])
    return [np.asarray(variable) for variable in variables], optimizer


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": 1e-2},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(1e-2, 200)},
        {"learning_rate": 1e-2, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"learning_rate": 1e-2, "global_clipnorm": 0.1},
        {"learning_rate": 1e-2, "weight_decay": 0.1},
        {"learning_rate": 1e-2, "use_ema": True, "ema_momentum": 0.9},
    ],
    ids=lambda options: next(reversed(options)),
)
def test_the_updates_are_those_of_keras(options):
    (ours, our_state), (theirs, their_state) = (trained(kind, **options) for kind in (Adam, keras.optimizers.Adam))

    for value, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(value, expected, **TOLERANCE)
    for variable, expected in zip(our_state.variables, their_state.variables, strict=True):
        np.testing.assert_allclose(variable, expected, **TOLERANCE)


def test_a_scaled_loss_gives_the_same_updates():
    def wrap(optimizer):
        return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1024.0)

    (ours, _), (theirs, _) = (trained(kind, wrap=wrap, learning_rate=1e-2) for kind in (Adam, keras.optimizers.Adam))

    for value, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(value, expected, **TOLERANCE)


def test_it_is_made_again_from_its_config():
    optimizer = Adam(1e-2, beta_1=0.5, global_clipnorm=3.0)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))

    assert type(again) is Adam
    assert again.get_config() == optimizer.get_config()


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="amsgrad is not supported"):
        Adam(amsgrad=True)
