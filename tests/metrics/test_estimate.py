import numpy as np
import pytest
from scipy.stats import sem

from vae_tf.metrics.estimate import bootstrap_error, mean_estimate


def test_mean_and_its_standard_error():
    values = np.random.default_rng(0).random(50)
    estimate = mean_estimate(values, "nats", 7, num_samples=3)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.standard_error == pytest.approx(sem(values))
    assert (estimate.unit, estimate.num_examples, estimate.seed, estimate.num_samples) == ("nats", 50, 7, 3)


def test_what_says_nothing_is_left_out_of_the_json():
    assert set(mean_estimate(np.arange(3.0), "1", 0).as_dict()) == {
        "value", "unit", "standard_error", "num_examples", "seed",
    }  # fmt: skip


def test_bootstrap_error_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).standard_normal(400)
    error = bootstrap_error(lambda rows: float(rows.mean()), (values,), 0, num_resamples=2000)
    assert error == pytest.approx(sem(values), rel=0.1)


def test_groups_are_drawn_independently():
    values = np.random.default_rng(0).standard_normal(400)
    error = bootstrap_error(lambda a, b: float(a.mean() - b.mean()), (values, values), 0, num_resamples=2000)
    assert error == pytest.approx(np.sqrt(2) * sem(values), rel=0.1)
