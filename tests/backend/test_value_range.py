"""The range of a batch, recorded by compiled steps."""

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend.value_range import ValueRange


@pytest.mark.parametrize("jit", [False, True])
def test_the_range_is_that_of_the_latest_batch(jit):
    values = ValueRange()
    record = tf.function(values.record, jit_compile=jit)
    assert values.value == (0, 0)
    for batch in (np.float32([[3, -1], [2, 0]]), np.float32([[0.5, 0.25], [0, 0.25]])):
        record(batch)
        assert values.value == (batch.min(), batch.max())


def test_the_range_of_integers_is_exact():
    values = ValueRange()
    values.record(np.array([7, 2, 9]))
    assert values.value == (2, 9)
