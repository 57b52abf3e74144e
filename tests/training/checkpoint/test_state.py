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
from vae_tf.training.loop import Steps

PICTURES = np.random.default_rng(0).random((24, 8, 8, 1), np.float32)
CLASSES = np.arange(24) % 3
POISON = np.full_like(PICTURES[:8], np.nan)
DENSE = {"arch": "dense", "hidden_sizes": (4,)}

KINDS = {
    "plain": {"variant": "plain", "likelihood": "learned_gaussian"},
    "bn": {"arch": "conv", "hidden_sizes": None, "micro_batch_size": 3},
    "ema": {"use_ema": True, "learning_rate": keras.optimizers.schedules.CosineDecay(1e-2, 100)},
    "mixed_float16": {"dtype_policy": "mixed_float16", "num_classes": 3},
}


class Training:
    """A model, its guarded step and its state, on three batches again and again."""

    def __init__(self, *, seed=0, learning_rate=1e-2, use_ema=False, micro_batch_size=None, **options):
        keras.utils.set_random_seed(seed)
        self.vae = build_vae((8, 8, 1), 2, **{**DENSE, **options}, seed=seed)
        self.vae.micro_batch_size = micro_batch_size
        self.vae.compile(Adam(learning_rate, use_ema=use_ema), jit_compile=False)
        self.guard = GuardedStep(self.vae)
        self.state = TrainingState(self.vae, self.guard)
        self._steps = Steps(self.vae, self.guard)

    def take(self, first, last):
        """Trains on the batches with these numbers and returns the metrics of each."""
        elements = ((PICTURES, CLASSES),) if self.vae.num_classes else PICTURES
        batches = iter(tf.data.Dataset.from_tensor_slices(elements).batch(8).repeat().skip(first))
        return [logs for number in range(first, last) for _, logs in self._steps.run(batches, number, number + 1)]

    def poison(self):
        """Takes a step that is skipped."""
        list(self._steps.run(iter(tf.data.Dataset.from_tensors(POISON)), 0, 1))


def variables_alive():
    gc.collect()
    return {id(found): found for found in gc.get_objects() if isinstance(found, keras.Variable)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_that_training_makes_is_captured_once(kind):
    before = variables_alive()
    training = Training(**KINDS[kind])
    training.take(0, 1)
    of_keras = {
        id(variable) for variable in training.vae._loss_tracker.variables
    }  # a step of one's own makes no use of it
    made = [found for key, found in variables_alive().items() if key not in before and key not in of_keras]
    for mark, variable in enumerate(made, 1):
        variable.assign(ops.full_like(variable, mark))

    marks = [set(np.ravel(value)) for value in training.state.capture().values()]
    assert sorted(map(list, marks)) == [[mark] for mark in range(1, len(made) + 1)]
    assert len(made) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_model_goes_on_with_the_same_bits(kind):
    first, second = Training(**KINDS[kind]), Training(seed=5, **KINDS[kind])
    first.take(0, 2)
    second.state.restore(first.state.capture())
    metrics = first.take(2, 7)

    assert second.take(2, 7) == metrics
    for name, value in first.state.capture().items():
        np.testing.assert_array_equal(second.state.capture()[name], value)


def test_a_restored_model_evaluates_with_the_same_noise():
    first, second = Training(), Training()
    first.vae.evaluate(PICTURES, verbose=0)
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

    assert (second.guard.skipped.total, second.guard.skipped.in_a_row) == (1, 1)


@pytest.mark.parametrize(
    "options", [{"variant": "plain"}, {"hidden_sizes": (5,)}, {"use_ema": True}, {"dtype_policy": "mixed_float16"}]
)
def test_values_of_another_model_are_refused_and_nothing_is_changed(options):
    training = Training()
    before = training.state.capture()
    with pytest.raises(InputError, match=r"^A checkpoint must hold the variables of the same model\. Received: others"):
        training.state.restore(Training(**options).state.capture())

    for name, value in training.state.capture().items():
        np.testing.assert_array_equal(value, before[name])


def test_weights_and_optimizer_go_back_alone():
    training = Training()
    training.take(0, 2)
    captured = training.state.capture()
    training.take(2, 4)
    latest = training.state.capture()
    training.state.restore_updated(captured)

    for name, value in training.state.capture().items():
        expected = captured if name.startswith(("model", "optimizer")) else latest
        np.testing.assert_array_equal(value, expected[name])
    assert any((latest[name] != value).any() for name, value in captured.items() if name.startswith("noise"))


def test_a_state_between_good_steps_is_sound():
    training = Training()
    assert training.state.is_sound(training.state.capture())
    training.take(0, 1)
    assert training.state.is_sound(training.state.capture())


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("group", ["model-0000", "model-0003", "optimizer-0003"])
def test_a_state_that_is_not_finite_is_not_sound(group, number):
    training = Training()
    captured = training.state.capture()
    captured[group] = np.full_like(captured[group], number, np.float32)

    assert not training.state.is_sound(captured)


def test_a_state_amid_skipped_steps_is_not_sound_until_one_is_made():
    training = Training()
    training.poison()
    assert not training.state.is_sound(training.state.capture())
    training.take(0, 1)
    assert training.state.is_sound(training.state.capture())
