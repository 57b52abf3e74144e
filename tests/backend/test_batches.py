"""Functions of arrays in batches."""

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend.batches import map_batches


@pytest.mark.parametrize(("size", "counts"), [(4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (99, [10])])
def test_batches_are_of_one_size_but_the_last(size, counts):
    seen = []

    def squared(values):
        seen.append(len(values))
        return values**2

    results = map_batches(squared, [np.arange(10.0)], size)

    assert seen == counts
    np.testing.assert_array_equal(results, np.arange(10.0) ** 2)


def test_arrays_are_cut_together_and_none_stays_none():
    def added(values, missing, others):
        assert missing is None
        return values + others

    results = map_batches(added, [np.arange(5), None, 10 * np.arange(5)], 2)

    np.testing.assert_array_equal(results, 11 * np.arange(5))


def test_tensors_come_back_as_one_array():
    results = map_batches(lambda values: tf.constant(values) * 2, [np.ones((3, 2), np.float32)], 2)

    assert isinstance(results, np.ndarray)
    np.testing.assert_array_equal(results, np.full((3, 2), 2, np.float32))
