"""The count of training steps."""

import keras
import numpy as np
import tensorflow as tf

from vae_tf.backend.step_counter import StepCounter
from vae_tf.model import build_vae


def test_it_counts_from_0():
    counter = StepCounter()
    assert int(counter.value) == 0
    assert counter.value.dtype == tf.int64
    for _ in range(3):
        counter.increment()
    assert int(counter.value) == 3


def test_a_value_that_was_read_stays():
    counter = StepCounter()
    before = counter.value
    counter.increment()

    assert int(before) == 0


def test_it_counts_within_a_compiled_function():
    counter = StepCounter()

    @tf.function
    def step():
        counter.increment()
        return counter.value

    assert [int(step()) for _ in range(3)] == [1, 2, 3]


def test_it_is_no_weight_of_a_model():
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "plain", hidden_sizes=(4,))
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    before = [weight.shape for weight in vae.get_weights()]
    vae.train_on_batch(np.zeros((2, 8, 8, 1), np.float32))

    assert int(vae.step_counter.value) == 1
    assert [weight.shape for weight in vae.get_weights()] == before
    assert id(vae.step_counter.variable) not in map(id, vae.variables)
