import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf import loop
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
    loop.train(vae, batches().repeat(), epochs=epochs, steps_per_epoch=3, callbacks=[recorded])
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
        list(runner.run(data, 1))
    *_, last = loop.Steps(several, several.train_step).run(iter(batches().repeat()), 9)

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
        vae, batches().repeat(), epochs=1, steps_per_epoch=3, validate=lambda: {"loss": 7.0}, callbacks=[recorded]
    )

    assert recorded.epochs[0]["val_loss"] == 7.0
