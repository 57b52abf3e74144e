"""What the user's callbacks remember comes back when a run resumes."""

import keras
import numpy as np
import pytest

from vae_tf.training.callback_states import CallbackStates


class Recorder(keras.callbacks.Callback):
    """A user's callback with state of many kinds."""

    def __init__(self):
        super().__init__()
        self.limit = 7
        self.losses = []
        self.best = np.float32(3.5)
        self.weights = None
        self.log = print

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(epoch)
        self.best = np.float32(1.25)
        self.weights = [np.zeros(2)]


def after_an_epoch(*callbacks):
    states = CallbackStates(callbacks)
    states.on_train_begin()
    for callback in callbacks:
        callback.on_epoch_end(4)
    return states.get_state()


def resumed(callback, saved):
    states = CallbackStates([callback], saved)
    callback.on_train_begin()
    states.on_train_begin()
    return states


def test_only_what_changed_is_saved():
    assert after_an_epoch(Recorder()) == [{"values": {"losses": [4], "best": 1.25}, "lost": ["weights"]}]


def test_saved_attributes_are_restored_and_new_arguments_are_kept():
    callback = Recorder()
    callback.limit = 9
    resumed(callback, after_an_epoch(Recorder()))
    assert (callback.losses, callback.best, callback.limit) == ([4], 1.25, 9)


def test_what_a_checkpoint_can_not_hold_is_warned_about(capsys):
    resumed(Recorder(), after_an_epoch(Recorder()))
    assert capsys.readouterr().err == (
        "warning: Recorder does not resume exactly, because a checkpoint can't hold its weights\n"
    )


def test_early_stopping_counts_on_from_where_it_was(capsys):
    before = keras.callbacks.EarlyStopping("val_loss", patience=3)
    before.set_model(keras.Sequential([keras.layers.Dense(1)]))
    states = CallbackStates([before])
    before.on_train_begin()
    states.on_train_begin()
    for epoch, loss in enumerate([5.0, 4.0, 4.5, 4.5]):
        before.on_epoch_end(epoch, {"val_loss": loss})
    after = keras.callbacks.EarlyStopping("val_loss", patience=3)
    resumed(after, states.get_state())
    assert (after.wait, after.best, after.best_epoch) == (2, 4.0, 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("saved", [(), [{"values": {}, "lost": []}]])
def test_without_anything_saved_nothing_changes(saved, capsys):
    callback = Recorder()
    resumed(callback, saved)
    assert callback.losses == []
    assert capsys.readouterr().err == ""
