"""Compiled functions are traced once, and gradients are those of the formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend.compiled import compile_for_shapes, compile_function, gradient_of_sum, gradients


@pytest.mark.parametrize("jit", [False, True])
def test_a_compiled_function_is_traced_once_for_batches_of_any_size(jit):
    traces = []

    def doubled(values):
        traces.append(values.shape)
        return 2 * values

    function = compile_function(doubled, jit=jit)
    for count in (1, 4, 2, 7):
        np.testing.assert_array_equal(function(tf.ones(count)), np.full(count, 2))

    assert len(traces) <= 2  # the second is of any size


def test_a_function_compiled_for_shapes_is_traced_once():
    traces = []

    def added(values, labels):
        traces.append(values.shape)
        return values + tf.cast(labels, tf.float32)[:, None]

    function = compile_for_shapes(added, [(None, 2), (None,)], ["float32", "int64"])
    for count in (1, 4, 2):
        expected = np.ones((count, 2)) + np.arange(count)[:, None]
        np.testing.assert_array_equal(function(np.ones((count, 2), np.float32), np.arange(count)), expected)

    assert [tuple(shape) for shape in traces] == [(None, 2)]


def test_a_function_compiled_for_shapes_takes_no_others():
    function = compile_for_shapes(lambda values: values, [(None, 2)], ["float32"])
    with pytest.raises(TypeError, match="2"):
        function(np.ones((4, 3), np.float32))


def test_gradients_are_with_respect_to_each_weight_and_the_rest_comes_back():
    first, second = keras.Variable([1.0, 2.0]), keras.Variable(3.0)

    def loss():
        return tf.reduce_sum(first.value**2) * second.value, "the rest"

    values, rest = gradients(loss, [first, second])

    np.testing.assert_allclose(values[0], [6, 12])
    np.testing.assert_allclose(values[1], 5)
    assert rest == "the rest"


def test_the_gradient_at_values_is_that_of_the_sum():
    values = tf.constant([[1.0, 2.0], [3.0, 4.0]])

    gradient = gradient_of_sum(lambda at: tf.reduce_sum(at**3, axis=-1), values)

    np.testing.assert_allclose(gradient, 3 * values.numpy() ** 2)
