import gc

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from vae_tf.backend.adam import Adam
from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.model import build_vae
from vae_tf.support.errors import InputError
from vae_tf.training.checkpoint.state import TrainingState
from vae_tf.training.loop import StepRunner
from vae_tf.training.stage import VAE_STAGE, Stage

IMAGES = np.random.default_rng(0).random((24, 8, 8, 1), np.float32)
CLASSES = np.arange(24) % 3
POISON = np.full_like(IMAGES[:8], np.nan)
DENSE = {"arch": "dense", "hidden_sizes": (4,)}

KINDS = {
    "plain": {"variant": "plain", "likelihood": "learned_gaussian"},
    "bn": {"micro_batch_size": 3},
    "conv": {"arch": "conv", "hidden_sizes": None, "micro_batch_size": 3},
    "ema": {"use_ema": True, "learning_rate": keras.optimizers.schedules.CosineDecay(1e-2, 100)},
    "mixed_float16": {"dtype_policy": "mixed_float16", "num_classes": 3},
}


def stage_of(vae, guard, name=VAE_STAGE):
    return Stage(name, vae, guard, epochs=1, steps_per_epoch=3, training_batches=None)


class Training:
    """A model, its guarded step and its state, on three batches again and again."""

    def __init__(self, *, seed=0, learning_rate=1e-2, use_ema=False, micro_batch_size=None, **options):
        keras.utils.set_random_seed(seed)
        self.vae = build_vae((8, 8, 1), 2, **{**DENSE, **options}, seed=seed)
        self.vae.micro_batch_size = micro_batch_size
        self.vae.compile(Adam(learning_rate, use_ema=use_ema), jit_compile=False)
        self.guard = GuardedStep(self.vae)
        self.state = TrainingState([stage_of(self.vae, self.guard)])
        self._steps = StepRunner(self.vae, self.guard)

    def take(self, first, last):
        """Trains on the batches with these numbers and returns the metrics of each."""
        elements = ((IMAGES, CLASSES),) if self.vae.num_classes else IMAGES
        batches = iter(tf.data.Dataset.from_tensor_slices(elements).batch(8).repeat().skip(first))
        return [logs for number in range(first, last) for _, logs in self._steps.run(batches, number, number + 1)]

    def poison(self):
        """Takes a step that is skipped."""
        list(self._steps.run(iter(tf.data.Dataset.from_tensors(POISON)), 0, 1))


def check_equal(values, expected):
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def variables_alive():
    gc.collect()
    return {id(found): found for found in gc.get_objects() if isinstance(found, keras.Variable)}


OF_EACH_KIND = pytest.mark.parametrize(
    "kind", ["plain", "bn", "ema", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("conv", "mixed_float16"))]
)


@OF_EACH_KIND
def test_every_variable_that_training_makes_is_captured_once(kind):
    before = variables_alive()
    training = Training(**KINDS[kind])
    training.take(0, 1)
    vae = training.vae
    # Training uses none of these: Keras's own loss tracker, beta, and the ranges that only `fit` records.
    unused = [*vae._loss_tracker.variables, *(each._variable for each in (vae.objective._beta, vae.target_range))]
    unused_ids = {id(variable) for variable in [*unused, vae.label_range._variable]}
    made = [found for key, found in variables_alive().items() if key not in before and key not in unused_ids]
    for mark, variable in enumerate(made, 1):
        variable.assign(ops.full_like(variable, mark))

    marks = [set(np.ravel(value)) for value in training.state.capture().values()]
    assert sorted(map(list, marks)) == [[mark] for mark in range(1, len(made) + 1)]
    assert len(made) > 20


@OF_EACH_KIND
def test_a_fresh_model_continues_with_the_same_bits(kind):
    first, second = Training(**KINDS[kind]), Training(seed=5, **KINDS[kind])
    first.take(0, 2)
    second.state.restore(first.state.capture())
    metrics = first.take(2, 7)

    assert second.take(2, 7) == metrics
    check_equal(second.state.capture(), first.state.capture())


def test_a_restored_model_evaluates_with_the_same_noise():
    first, second = Training(), Training()
    first.vae.evaluate(IMAGES, verbose=0)
    second.state.restore(first.state.capture())

    np.testing.assert_array_equal(
        second.vae.evaluation_seed_generator.state.numpy(), first.vae.evaluation_seed_generator.state.numpy()
    )


def test_training_does_not_change_what_was_captured():
    training = Training(use_ema=True)
    training.take(0, 1)
    captured = training.state.capture()
    copies = {name: value.copy() for name, value in captured.items()}
    training.take(1, 4)

    for name, value in captured.items():
        np.testing.assert_array_equal(value, copies[name])


def test_counts_of_skipped_steps_are_restored():
    first, second = Training(), Training()
    first.poison()
    second.state.restore(first.state.capture())

    assert (second.guard.skipped.total, second.guard.skipped.consecutive) == (1, 1)


def test_the_count_of_steps_is_captured_with_those_that_were_skipped():
    training = Training()
    training.take(0, 2)
    training.poison()

    assert training.state.capture()["step-0000"] == 3


def test_the_count_of_steps_is_restored():
    first, second = Training(), Training()
    first.take(0, 2)
    second.state.restore(first.state.capture())

    assert int(second.vae.step_counter.value) == 2


def test_going_back_to_older_weights_leaves_the_count_of_steps():
    training = Training()
    training.take(0, 1)
    captured = training.state.capture()
    training.take(1, 4)
    training.state.restore_weights_and_optimizer(captured)

    assert int(training.vae.step_counter.value) == 4


def test_a_schedule_continues_in_a_fresh_model():
    options = {"beta": 6.0, "kl_schedule": "linear", "kl_warmup_steps": 4}
    first, second = Training(**options), Training(**options)
    first.take(0, 3)
    second.state.restore(first.state.capture())
    second.vae.reset_metrics()

    assert second.take(3, 4)[0]["kl_weight"] == pytest.approx(4.5)


def test_a_checkpoint_without_the_count_of_steps_is_refused():
    training = Training()
    captured = training.state.capture()
    del captured["step-0000"]
    with pytest.raises(InputError, match=r"^The checkpoint's variables do not match the model"):
        training.state.restore(captured)


def test_variables_of_a_later_stage_have_its_name_in_front():
    first, second = Training(), Training()
    state = TrainingState([stage_of(first.vae, first.guard), stage_of(second.vae, second.guard, "later")])
    second.take(0, 2)

    captured, alone = state.capture(), second.state.capture()
    check_equal({name.removeprefix("later-"): captured[name] for name in captured if name.startswith("later-")}, alone)
    check_equal({name: captured[name] for name in captured if not name.startswith("later-")}, first.state.capture())


@pytest.mark.parametrize(
    "options", [{"variant": "plain"}, {"hidden_sizes": (5,)}, {"use_ema": True}, {"dtype_policy": "mixed_float16"}]
)
def test_values_of_another_model_are_refused_and_nothing_is_changed(options):
    training = Training()
    before = training.state.capture()
    with pytest.raises(InputError, match=r"^The checkpoint's variables do not match the model; "):
        training.state.restore(Training(**options).state.capture())

    for name, value in training.state.capture().items():
        np.testing.assert_array_equal(value, before[name])


def test_weights_and_optimizer_go_back_alone():
    training = Training()
    training.take(0, 2)
    captured = training.state.capture()
    training.take(2, 4)
    latest = training.state.capture()
    training.state.restore_weights_and_optimizer(captured)

    for name, value in training.state.capture().items():
        expected = captured if name.startswith(("model", "optimizer")) else latest
        np.testing.assert_array_equal(value, expected[name])
    assert any((latest[name] != value).any() for name, value in captured.items() if name.startswith("noise"))


def test_a_state_between_good_steps_is_sound():
    training = Training()
    assert training.state.should_save(training.state.capture())
    training.take(0, 1)
    assert training.state.should_save(training.state.capture())


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("group", ["model-0000", "model-0003", "optimizer-0003"])
def test_a_state_that_is_not_finite_is_not_sound(group, number):
    training = Training()
    captured = training.state.capture()
    captured[group] = np.full_like(captured[group], number, np.float32)

    assert not training.state.should_save(captured)


def test_a_state_amid_skipped_steps_is_not_sound_until_one_is_made():
    training = Training()
    training.poison()
    assert not training.state.should_save(training.state.capture())
    training.take(0, 1)
    assert training.state.should_save(training.state.capture())
