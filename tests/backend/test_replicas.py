"""What the communication between replicas relies on; `tests/distribute` compares several replicas with one."""

import keras


def test_keras_sums_gradients_by_the_method_that_is_turned_off():
    # Private: `replicas.apply_gradients` replaces it. If Keras renames it, gradients are summed twice without an error.
    assert callable(keras.optimizers.Adam._all_reduce_sum_gradients)
