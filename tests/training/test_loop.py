import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.model import build_vae
from vae_tf.training import loop
from vae_tf.training.checkpoint.state import TrainingState
from vae_tf.training.stage import VAE_STAGE, Stage

IMAGES = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)


def compiled_vae(**options):
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "bn", hidden_sizes=(4,))
    vae.compile(keras.optimizers.Adam(1e-2), jit_compile=False, **options)
    return vae


def batches():
    return tf.data.Dataset.from_tensor_slices(IMAGES).batch(8)


class Recorded(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.last_steps, self.epochs = [], []

    def on_train_batch_end(self, batch, logs):
        self.last_steps.append(batch)

    def on_epoch_end(self, epoch, logs):
        self.epochs.append(dict(logs))


def trained(epochs=2):
    vae, recorded = compiled_vae(), Recorded()
    loop.train(vae, batches().repeat(), epochs=epochs, steps_per_epoch=3, guard=GuardedStep(vae), callbacks=[recorded])
    return vae, recorded


@pytest.fixture(scope="module")
def trained_once():
    return trained()


def test_it_trains_as_fit_does(trained_once):
    vae, recorded = trained_once
    fitted = compiled_vae()
    history = fitted.fit(batches(), epochs=2, shuffle=False, verbose=0).history

    for name, values in history.items():
        np.testing.assert_allclose([row[name] for row in recorded.epochs], values, rtol=1e-5)
    for weight, expected in zip(vae.get_weights(), fitted.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-6)


def test_the_last_call_of_an_epoch_ends_with_the_epoch(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", float("inf"))
    _, recorded = trained(epochs=3)

    assert recorded.last_steps == [0, 2, 2, 2]  # calls of 1, 2, 3 and 3 steps


def test_the_number_of_steps_in_a_call_changes_nothing():
    several, one = compiled_vae(), compiled_vae()
    runner = loop.StepRunner(one, one.train_step)
    data = iter(batches().repeat())
    for _ in range(9):
        list(runner.run(data, 0, 1))
    *_, last = loop.StepRunner(several, several.train_step).run(iter(batches().repeat()), 0, 9)

    assert last[0] == 9
    for weight, expected in zip(several.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_evaluation_is_that_of_keras(trained_once):
    vae, _ = trained_once
    expected = vae.evaluate(batches(), return_dict=True, verbose=0)
    evaluate = loop.Evaluator(vae)

    assert evaluate(batches(), 3) == pytest.approx(expected)
    assert evaluate(batches(), 3) == pytest.approx(expected)  # the same noise again


def test_an_evaluator_traces_the_test_step_once_for_all_its_data(trained_once, monkeypatch):
    vae, _ = trained_once
    traced = []
    test_step = vae.test_step
    monkeypatch.setattr(vae, "test_step", lambda data: traced.append(data) or test_step(data))
    evaluate = loop.Evaluator(vae)
    evaluate(batches(), 3)
    evaluate(batches().take(2), 2)

    assert len(traced) == 1


def test_what_is_measured_after_an_epoch_is_logged_as_val():
    vae, recorded = compiled_vae(), Recorded()
    loop.train(
        vae,
        batches().repeat(),
        epochs=1,
        steps_per_epoch=3,
        guard=GuardedStep(vae),
        validate=lambda: {"loss": 7.0},
        callbacks=[recorded],
    )

    assert recorded.epochs[0]["val_loss"] == 7.0


class Watched(keras.callbacks.Callback):
    """The loss, the scale of the loss, and the updates made, after every step."""

    def __init__(self):
        super().__init__()
        self.rows, self.first_weights = [], None

    def on_train_batch_end(self, batch, logs):
        optimizer = self.model.optimizer
        self.rows.append((logs["loss"], float(optimizer.dynamic_scale), int(optimizer.iterations)))
        if self.first_weights is None:
            self.first_weights = values_of(self.model)


def values_of(vae):
    return [weight.numpy().copy() for weight in vae.trainable_weights]


@pytest.mark.parametrize("micro_batch_size", [None, pytest.param(3, marks=pytest.mark.slow)])
def test_gradients_too_large_for_float16_halve_the_scale_and_training_continues(monkeypatch, micro_batch_size):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)  # one step in a call
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "plain", hidden_sizes=(4,), dtype_policy="mixed_float16")
    vae.micro_batch_size = micro_batch_size
    vae.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    vae.optimizer.build(vae.trainable_weights)
    vae.optimizer.dynamic_scale.assign(2.0**24)
    before, watched, guard = values_of(vae), Watched(), GuardedStep(vae)
    loop.train(vae, batches().repeat(), epochs=1, steps_per_epoch=24, guard=guard, callbacks=[watched])

    losses, scales, updates = zip(*watched.rows, strict=True)
    assert (scales[0], updates[0]) == (2.0**23, 0)
    for weight, expected in zip(watched.first_weights, before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert np.isfinite(losses).all()
    assert guard.skipped.total == 0  # no divergence
    assert updates[-1] > 0
    assert scales[-1] == 2.0 ** (24 - (24 - updates[-1]))
    assert any((weight != first).any() for weight, first in zip(values_of(vae), before, strict=True))


def test_a_fresh_optimizer_of_float16_scales_by_its_variable():
    """A step traced before that variable is there would scale by a constant for ever."""
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "plain", hidden_sizes=(4,), dtype_policy="mixed_float16")
    inner = keras.optimizers.SGD(1e-3)
    vae.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**30), jit_compile=False)
    loop.train(vae, batches().repeat(), epochs=1, steps_per_epoch=30, guard=GuardedStep(vae))

    assert int(inner.iterations) > 0


class Weights(keras.callbacks.Callback):
    """The weights that callbacks see after every epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs):
        self.seen.append(values_of(self.model))


def test_averages_are_validated_and_kept_and_do_not_disturb_training():
    plain, averaging = compiled_vae(), compiled_vae()
    averaging.compile(keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9), jit_compile=False)
    trained, seen, validated = Weights(), Weights(), []
    loop.train(plain, batches().repeat(), epochs=2, steps_per_epoch=3, guard=GuardedStep(plain), callbacks=[trained])
    loop.train(
        averaging,
        batches().repeat(),
        epochs=2,
        steps_per_epoch=3,
        guard=GuardedStep(averaging),
        validate=lambda: validated.append(values_of(averaging)) or {},
        callbacks=[seen],
    )

    for values, expected in zip(seen.seen, trained.seen, strict=True):
        for value, wanted in zip(values, expected, strict=True):
            np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)
    averages = [average.numpy() for average in averaging.optimizer._model_variables_moving_average]
    for kept, average, at_the_end in zip(values_of(averaging), averages, validated[-1], strict=True):
        np.testing.assert_array_equal(kept, average)
        np.testing.assert_array_equal(at_the_end, average)
    assert max(np.abs(a - b).max() for a, b in zip(averages, seen.seen[-1], strict=True)) > 1e-3


# Resuming


def numbered_batches(start):
    """As `batches`, from those of a step on."""
    return batches().repeat().skip(start)


class Calls(keras.callbacks.Callback):
    """What is called, with the epoch, or the steps of it that are done."""

    def __init__(self):
        super().__init__()
        self.made = []

    def on_epoch_begin(self, epoch, logs=None):
        self.made.append(("begin", epoch))

    def on_train_batch_end(self, batch, logs):
        self.made.append(("step", batch + 1))

    def on_epoch_end(self, epoch, logs):
        self.made.append(("end", epoch))
        self.logs = dict(logs)


@pytest.fixture
def one_step_in_a_call(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)


@pytest.fixture(scope="module")
def whole():
    """The checkpoints after the steps of a run of two epochs and of one of three, and the results of the runs."""

    def whole_run(epochs):
        vae, calls, kept = compiled_vae(), Calls(), {}
        guard = GuardedStep(vae)
        state = TrainingState([Stage(VAE_STAGE, vae, guard, 3, 3, None)])

        class Keep(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs):
                kept[int(vae.optimizer.iterations)] = state.capture()

        loop.train(vae, batches().repeat(), epochs=epochs, steps_per_epoch=3, guard=guard, callbacks=[calls, Keep()])
        return kept, calls, state.capture()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SECONDS_PER_CALL", 0)
        return {epochs: whole_run(epochs) for epochs in (2, 3)}


@pytest.mark.usefixtures("one_step_in_a_call")
@pytest.mark.parametrize(
    ("start", "made"),
    [
        pytest.param(4, [("begin", 1), ("step", 2), ("step", 3), ("end", 1)], marks=pytest.mark.slow),
        (6, [("begin", 1), ("step", 3), ("end", 1)]),  # no step, but all that follows the last one
    ],
)
def test_training_resumes_after_a_step_as_if_it_had_not_ended(whole, start, made):
    kept, expected, end = whole[3]
    vae, calls = compiled_vae(), Calls()
    guard = GuardedStep(vae)
    state = TrainingState([Stage(VAE_STAGE, vae, guard, 3, 3, None)])
    state.restore(kept[start])
    loop.train(vae, numbered_batches(start), epochs=3, steps_per_epoch=3, guard=guard, start=start, callbacks=[calls])

    assert calls.made == [*made, *expected.made[-5:]]
    assert calls.logs == expected.logs
    for name, value in state.capture().items():
        np.testing.assert_array_equal(value, end[name])


@pytest.mark.usefixtures("one_step_in_a_call")
def test_what_follows_the_last_step_of_all_is_done_again(whole):
    kept, expected, _ = whole[2]
    vae, calls = compiled_vae(), Calls()
    guard = GuardedStep(vae)
    TrainingState([Stage(VAE_STAGE, vae, guard, 3, 3, None)]).restore(kept[6])
    loop.train(vae, numbered_batches(6), epochs=2, steps_per_epoch=3, guard=guard, start=6, callbacks=[calls])

    assert calls.made == [("begin", 1), ("step", 3), ("end", 1)]
    assert calls.logs == expected.logs
    assert int(vae.optimizer.iterations) == 6


@pytest.mark.parametrize(("step", "epoch"), [(0, 0), (1, 0), (3, 0), (4, 1), (6, 1), (7, 2)])
def test_a_step_belongs_to_the_epoch_in_which_it_was_the_latest(step, epoch):
    assert loop.epoch_of(step, 3) == epoch


@pytest.mark.parametrize(
    ("first", "every", "ends"),
    [
        (0, 4, [1, 3, 4, 8, 10]),
        pytest.param(0, 3, [1, 3, 6, 9, 10], marks=pytest.mark.slow),
        (5, 4, [6, 8, 10]),
        (0, None, [1, 3, 7, 10]),
        pytest.param(4, 4, [5, 7, 8, 10], marks=pytest.mark.slow),
    ],
)
def test_a_call_ends_wherever_a_multiple_of_steps_is_done(monkeypatch, first, every, ends):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", float("inf"))
    vae = compiled_vae()
    steps = loop.StepRunner(vae, GuardedStep(vae))

    assert [done for done, _ in steps.run(iter(batches().repeat()), first, 10, every)] == ends
    assert int(vae.optimizer.iterations) == 10 - first


def test_an_epoch_without_an_update_has_no_loss(monkeypatch):
    vae, recorded = compiled_vae(), Recorded()
    nothing = tf.data.Dataset.from_tensor_slices(np.full_like(IMAGES, np.inf)).batch(8).repeat()
    loop.train(vae, nothing, epochs=1, steps_per_epoch=3, guard=GuardedStep(vae), callbacks=[recorded])

    assert np.isnan([recorded.epochs[0][name] for name in ("loss", "reconstruction_loss", "kl_loss")]).all()


class StopAfter(keras.callbacks.Callback):
    """Stops training after a number of batches or epochs."""

    def __init__(self, *, batches=None, epochs=None):
        super().__init__()
        self.batches, self.epochs = batches, epochs

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = int(self.model.step_counter.value) == self.batches

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = self.model.stop_training or epoch + 1 == self.epochs


@pytest.mark.parametrize(("limit", "steps"), [({"batches": 5}, 5), ({"epochs": 2}, 6)])
def test_a_callback_stops_training_after_a_call_or_an_epoch(monkeypatch, limit, steps):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", 0)
    vae, recorded = compiled_vae(), Recorded()
    callbacks = [recorded, StopAfter(**limit)]
    guard = GuardedStep(vae)
    loop.train(vae, batches().repeat(), epochs=9, steps_per_epoch=3, guard=guard, callbacks=callbacks)
    assert int(vae.step_counter.value) == steps
    assert len(recorded.epochs) == 2  # the epoch that was cut short is validated and logged, as in Keras
