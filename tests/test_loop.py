import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf import loop
from vae_tf.divergence import GuardedStep
from vae_tf.model import build_vae

PICTURES = np.random.default_rng(0).random((20, 8, 8, 1), np.float32)


def compiled_vae(**options):
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "bn", hidden_sizes=(4,))
    vae.compile(keras.optimizers.Adam(1e-2), jit_compile=False, **options)
    return vae


def batches():
    return tf.data.Dataset.from_tensor_slices(PICTURES).batch(8)


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


def test_it_trains_as_fit_does():
    vae, recorded = trained()
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
    runner = loop.Steps(one, one.train_step)
    data = iter(batches().repeat())
    for _ in range(9):
        list(runner.run(data, 0, 1))
    *_, last = loop.Steps(several, several.train_step).run(iter(batches().repeat()), 0, 9)

    assert last[0] == 9
    for weight, expected in zip(several.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_evaluation_is_that_of_keras():
    vae, _ = trained()
    expected = vae.evaluate(batches(), return_dict=True, verbose=0)
    evaluate = loop.evaluator(vae, batches(), 3)

    assert evaluate() == pytest.approx(expected)
    assert evaluate() == pytest.approx(expected)  # the same noise again


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


@pytest.mark.parametrize("micro_batch_size", [None, 3])
def test_gradients_too_large_for_float16_halve_the_scale_and_training_goes_on(monkeypatch, micro_batch_size):
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
