"""What the communication between replicas relies on; `tests/distribute` compares several replicas with one."""

import keras


def test_keras_sums_gradients_by_the_method_that_is_turned_off():
    # Private: `replicas.apply` replaces it. If Keras renames it, gradients are summed twice, and no error says so.
    assert callable(keras.optimizers.Adam._all_reduce_sum_gradients)
