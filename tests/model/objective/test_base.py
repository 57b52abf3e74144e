"""The weight of the KL term and its schedules, and how the loss is made of it."""

import keras
import numpy as np
import pytest
from keras import ops

from vae_tf.model import Inferred, Objective, Terms

KL = np.array([3.0, 0.5, 30.71], "float32")
LOG_LIKELIHOOD = np.array([[-10.0, -20.0, -1454.37], [-14.0, -22.0, -1450.11]], "float32")
RECONSTRUCTION = np.array([12.0, 21.0, 1452.24])


class SquaredKL(Objective):
    """An objective with a penalty of its own."""

    def kl_penalty(self, terms):
        return ops.square(terms.kl_loss())


def terms():
    nothing = np.zeros_like(LOG_LIKELIHOOD)
    return Terms(Inferred(nothing[..., None], nothing, nothing, {"z": KL[:, None]}), LOG_LIKELIHOOD)


def weights(objective, steps):
    return [float(objective.kl_weight(ops.convert_to_tensor(step, "int64"))) for step in steps]


def test_a_constant_schedule_weighs_with_beta_at_every_step():
    assert weights(Objective(2.5), [0, 1, 1000]) == [2.5, 2.5, 2.5]


def test_a_linear_schedule_rises_from_0_to_beta_over_the_warmup_and_stays():
    objective = Objective(4.0, "linear", 10)
    assert weights(objective, [0, 1, 5, 10, 11, 1000]) == pytest.approx([0, 0.4, 2, 4, 4, 4])


def test_a_cyclical_schedule_rises_over_the_warmup_and_stays_for_as_long():
    objective = Objective(4.0, "cyclical", 10)
    assert weights(objective, [0, 1, 5, 10, 11, 19]) == pytest.approx([0, 0.4, 2, 4, 4, 4])


def test_a_cyclical_schedule_repeats():
    objective = Objective(4.0, "cyclical", 3)
    cycle = [0, 4 / 3, 8 / 3, 4, 4, 4]
    assert weights(objective, range(18)) == pytest.approx(3 * cycle)


def test_a_schedule_counts_steps_beyond_what_float32_can_tell_apart():
    objective = Objective(4.0, "cyclical", 4)
    start = 8 * (2**30)
    assert weights(objective, range(start, start + 8)) == pytest.approx([0, 1, 2, 3, 4, 4, 4, 4])


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (1, 1.25), (2, 2.5), (5, 2.5)])
def test_loss_is_reconstruction_plus_the_weight_of_the_step_times_the_penalty(step, weight):
    loss, _ = SquaredKL(2.5, "linear", 2).call(terms(), ops.convert_to_tensor(step, "int64"))
    np.testing.assert_allclose(loss, RECONSTRUCTION + weight * KL.astype("float64") ** 2, rtol=1e-6)


def test_a_weight_that_changes_is_reported_for_each_example():
    objective = SquaredKL(2.5, "linear", 2)
    _, extras = objective.call(terms(), ops.convert_to_tensor(1, "int64"))
    assert objective.extra_names == ("kl_weight",)
    assert list(extras) == ["kl_weight"]
    np.testing.assert_array_equal(extras["kl_weight"], [1.25, 1.25, 1.25])


def test_a_constant_weight_is_not_reported():
    objective = SquaredKL(2.5)
    assert objective.extra_names == ()
    assert objective.call(terms(), ops.convert_to_tensor(0, "int64")).extras == {}


def test_an_objective_has_no_weights():
    objective = Objective(2.0, "linear", 5)
    objective.build()
    assert objective.variables == []


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_loss_and_weight_stay_float32_under_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        loss, extras = SquaredKL(0.1, "linear", 3).call(terms(), ops.convert_to_tensor(1, "int64"))
    finally:
        keras.config.set_dtype_policy(before)
    assert {np.asarray(loss).dtype, np.asarray(extras["kl_weight"]).dtype} == {np.dtype("float32")}
    np.testing.assert_allclose(loss, RECONSTRUCTION + 0.1 / 3 * KL.astype("float64") ** 2, rtol=1e-6)


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf")])
def test_beta_that_is_negative_or_not_finite_is_refused(beta):
    with pytest.raises(ValueError, match=f"beta={beta}"):
        Objective(beta)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="kl_schedule must be one of constant, linear, cyclical"):
        Objective(1.0, "cosine", 3)


@pytest.mark.parametrize(
    ("schedule", "steps"), [("constant", 3), ("linear", None), ("cyclical", None), ("linear", 0), ("cyclical", -2)]
)
def test_a_warmup_without_effect_or_a_schedule_without_warmup_is_refused(schedule, steps):
    with pytest.raises(ValueError, match=f"Received: kl_schedule={schedule}, kl_warmup_steps={steps}"):
        Objective(1.0, schedule, steps)
