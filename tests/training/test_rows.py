"""Training on a table."""

import numpy as np
import pytest

from vae_tf.training.rows import is_still_falling


@pytest.mark.parametrize(
    ("losses", "falling"),
    [
        (np.linspace(5, 1, 100), True),
        (5 * 0.9 ** np.arange(100), False),
        (np.random.default_rng(0).normal(size=100), False),
        (np.linspace(5, 1, 19), False),
    ],
)
def test_a_lossis_still_falling_if_it_falls_as_fast_as_on_average(losses, falling):
    assert is_still_falling(losses.tolist()) is falling
