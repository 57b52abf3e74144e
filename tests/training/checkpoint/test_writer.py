import os
import signal
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend.adam import Adam
from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.model import build_vae
from vae_tf.support.errors import Interrupted
from vae_tf.training import loop
from vae_tf.training.checkpoint.state import TrainingState
from vae_tf.training.checkpoint.store import CheckpointStore
from vae_tf.training.checkpoint.writer import CheckpointWriter
from vae_tf.training.interruption import SignalHandler
from vae_tf.training.stage import VAE_STAGE, Stage

STEPS_PER_EPOCH = 5
IMAGES = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)


class Recorded:
    """A store that keeps all in memory."""

    def __init__(self, error=None):
        self.written, self.error = {}, error

    def write(self, step, arrays, progress):
        if self.error:
            raise self.error
        self.written[step] = arrays, progress


@pytest.fixture(scope="module")
def training():
    """A model that the tests train one after the other."""
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "bn", hidden_sizes=(4,))
    vae.compile(Adam(1e-2), jit_compile=False)
    guard = GuardedStep(vae, max_consecutive_skips=4)
    stage = Stage(VAE_STAGE, vae, guard, epochs=1, steps_per_epoch=STEPS_PER_EPOCH, training_batches=None)
    return SimpleNamespace(vae=vae, guard=guard, state=TrainingState([stage]))


@pytest.fixture(autouse=True)
def from_the_beginning(training):
    captured = training.state.capture()
    yield
    training.state.restore(captured)


def run(training, store, *, epochs=2, poisoned=(), listeners=(), interruption=None, start=0, **options):
    """Trains, with NaN in the batches of the steps `poisoned`, and returns the writer."""

    def batch(number):
        is_bad = tf.reduce_any(number == tf.constant(list(poisoned), tf.int64)) if poisoned else False
        return tf.where(is_bad, np.nan, 1.0) * IMAGES[:8]

    writer = CheckpointWriter(
        training.state, store, interruption or SignalHandler(), lambda: {"described": 1}, **options
    )
    with writer:
        loop.train(
            training.vae,
            tf.data.Dataset.counter(start + 1).map(batch),
            epochs=epochs,
            steps_per_epoch=STEPS_PER_EPOCH,
            guard=training.guard,
            start=start,
            callback_every=options.get("save_every_steps"),
            callbacks=[*listeners, writer],
        )
    return writer


def after_step(number, act):
    """A listener that does something after the steps of one call, of which the first is of this number."""
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: act() if batch + 1 == number else None)


@pytest.mark.parametrize("seconds_per_call", [0, 1e9], ids=["one-step-in-a-call", "many"])
@pytest.mark.parametrize(
    ("every", "steps"),
    [
        (None, [5, 10]),
        (3, [3, 5, 6, 9, 10]),
        pytest.param(4, [4, 5, 8, 10], marks=pytest.mark.slow),
        pytest.param(5, [5, 10], marks=pytest.mark.slow),
        pytest.param(7, [5, 7, 10], marks=pytest.mark.slow),
    ],
)
def test_it_saves_after_each_epoch_and_every_so_many_steps(training, monkeypatch, seconds_per_call, every, steps):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", seconds_per_call)
    store = Recorded()
    run(training, store, save_every_steps=every)

    assert list(store.written) == steps


def test_it_saves_what_the_variables_hold_and_what_is_described(training):
    store = Recorded()
    run(training, store)
    arrays, progress = store.written[10]

    assert progress == {"described": 1}
    for name, value in training.state.capture().items():
        np.testing.assert_array_equal(arrays[name], value)
    first, _ = store.written[5]
    assert any((first[name] != value).any() for name, value in arrays.items() if name.startswith("model"))


def test_it_saves_after_so_many_minutes(training, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)
    clock, store = SimpleNamespace(now=1000.0), Recorded()
    monkeypatch.setattr("vae_tf.training.checkpoint.writer.time", SimpleNamespace(monotonic=lambda: clock.now))

    def tick(batch, logs):
        clock.now += 50

    run(training, store, save_every_minutes=2, listeners=[keras.callbacks.LambdaCallback(on_train_batch_end=tick)])
    # 150 seconds are late; the clock restarts wherever something is saved.
    assert list(store.written) == [3, 5, 8, 10]


def test_a_clock_that_jumps_changes_nothing(training, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)
    times = iter([2e9, 0.0, 4e9] * 100)
    monkeypatch.setattr(time, "time", lambda: next(times))
    store = Recorded()
    run(training, store, save_every_minutes=2)

    assert list(store.written) == [5, 10]


def test_it_does_not_save_amid_skipped_steps(training):
    store = Recorded()
    run(training, store, save_every_steps=1, poisoned=(4, 5, 8))

    assert list(store.written) == [1, 2, 3, 6, 7, 9, 10]


def test_it_does_not_save_weights_that_are_not_finite(training):
    store = Recorded()
    weight = training.vae.trainable_weights[0]
    # The last step of all is sound, and what came of it is not.
    spoil = after_step(STEPS_PER_EPOCH, lambda: weight.assign(weight * np.inf))
    writer = run(training, store, epochs=1, listeners=[spoil], save_every_steps=3)

    assert list(store.written) == [3]
    assert writer.saved_step == 3


def test_without_a_store_the_state_is_kept_to_go_back_to(training):
    writer = run(training, None)

    assert writer.saved_step == 10
    assert writer.roll_back() == 10


def test_an_error_of_the_writer_ends_training(training):
    with pytest.raises(OSError, match="no room"):
        run(training, Recorded(OSError("no room")))


def test_an_error_of_the_writer_is_no_worse_for_an_interruption(training):
    """Else it would be told that the state is saved."""
    interruption = SignalHandler()
    interruption._number = signal.SIGTERM
    with pytest.raises(OSError, match="no room"):
        run(training, Recorded(OSError("no room")), interruption=interruption)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_after_the_step(training, monkeypatch, number):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)
    store = Recorded()
    with SignalHandler() as interruption:

        def ask():
            os.kill(os.getpid(), number)
            deadline = time.monotonic() + 10
            while not interruption.is_stop_requested and time.monotonic() < deadline:
                pass

        with pytest.raises(Interrupted) as stop:
            run(training, store, interruption=interruption, listeners=[after_step(3, ask)])

    assert stop.value.signal_number == number
    assert list(store.written) == [3]


def test_what_is_saved_is_on_disk_when_a_signal_has_stopped_training(training, tmp_path):
    interruption = SignalHandler()
    interruption._number = signal.SIGTERM
    with pytest.raises(Interrupted):
        run(training, CheckpointStore(tmp_path), interruption=interruption)

    assert CheckpointStore(tmp_path).newest().step == 1


def test_a_step_that_is_saved_is_not_saved_again(training, monkeypatch):
    """What is written again is gone for a moment."""
    store = Recorded()
    writer = CheckpointWriter(training.state, store, SignalHandler(), dict, last_saved=(5, training.state.capture()))
    with writer:
        loop.train(
            training.vae,
            tf.data.Dataset.from_tensors(IMAGES).repeat(),
            epochs=2,
            steps_per_epoch=STEPS_PER_EPOCH,
            guard=training.guard,
            start=5,
            callbacks=[writer],
        )

    assert list(store.written) == [10]


def test_a_run_that_resumes_can_return_to_where_it_began(training):
    writer = CheckpointWriter(training.state, None, SignalHandler(), dict, last_saved=(5, training.state.capture()))

    assert (writer.saved_step, writer.roll_back()) == (5, 5)


def test_there_is_nothing_to_go_back_to_before_the_first(training):
    writer = CheckpointWriter(training.state, None, SignalHandler(), dict)

    assert (writer.saved_step, writer.roll_back()) == (None, None)


def test_going_back_brings_weights_and_optimizer_and_leaves_noise_and_metrics(training):
    store = Recorded()
    writer = run(training, store, epochs=1)
    arrays, _ = store.written[5]
    list(loop.StepRunner(training.vae, training.guard).run(iter(tf.data.Dataset.from_tensors(IMAGES).repeat()), 0, 3))
    latest = training.state.capture()
    assert writer.roll_back() == 5

    for name, value in training.state.capture().items():
        is_of_update = name.startswith(("model", "optimizer"))
        np.testing.assert_array_equal(value, arrays[name] if is_of_update else latest[name])
