"""A run of two stages: one after the other, in one history, and resumed in either of them bit for bit."""

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import Interrupted
from vae_tf.training import stage, trainer
from vae_tf.training.callbacks import HistoryWriter
from vae_tf.training.checkpoint.store import CheckpointStore

EPOCHS = 2


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.savez(folder / "data.npz", x_train=x[:40], x_test=x[40:])
    options = {"arch": "dense", "hidden_sizes": (6,), "latent_dim": 2, "batch_size": 8, "epochs": EPOCHS}
    return RunConfig(dataset="npz", data_dir=str(folder / "data.npz"), **options, ema=0.5).fill_in_defaults((8, 8, 1))


class Stopped(trainer.CheckpointWriter):
    """Ends training as a signal does, once `at` steps are saved."""

    at = None

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if self.saved_step == self.at:
            raise Interrupted(15, "stopped")


def two_stages(config, splits):
    strategy = tf.distribute.get_strategy()
    first = stage.vae_stage(config, splits, strategy)
    other = config.model_copy(update={"latent_dim": 1, "seed": 1, "ema": None})
    return [first, stage.vae_stage(other, splits, strategy)._replace(name="second")]


def train(config, folder, resume_from=None):
    """Returns the trainer and the rows of the history, of a run that begins or is resumed."""
    splits = load_splits(config)
    run = trainer.Trainer(config, splits, tf.distribute.get_strategy(), two_stages(config, splits))
    progress = {} if resume_from is None else resume_from.progress
    if resume_from is not None:
        run.resume(resume_from.step, resume_from.arrays())
    run_dir = RunDir(folder)
    folder.mkdir(exist_ok=True)
    history = HistoryWriter(run_dir, len(splits.train), progress)

    def listeners(of_stage):
        history.stage = of_stage.name
        return [history]

    run.train(
        listeners, CheckpointStore(folder / "checkpoints", 9), history.get_state, CheckpointConfig(checkpoint_steps=3)
    )
    return run, run_dir.read_history()


def numbers(rows):
    return [{key: value for key, value in row.items() if key not in ("seconds", "images_per_second")} for row in rows]


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    return train(config, tmp_path_factory.mktemp("whole") / "run")


def test_history_has_a_row_for_each_epoch_of_each_stage(whole):
    assert [(row["stage"], row["epoch"]) for row in whole[1]] == [
        ("vae", 1),
        ("vae", 2),
        ("second", 1),
        ("second", 2),
    ]


def test_steps_are_counted_for_each_stage(whole):
    assert [int(each.model.step_counter.value) for each in whole[0].stages] == [10, 10]
    assert whole[0].num_steps == 20


def test_the_second_stage_leaves_the_first_as_it_was(config, whole, tmp_path):
    splits = load_splits(config)
    first = [two_stages(config, splits)[0]]
    alone = trainer.Trainer(config, splits, tf.distribute.get_strategy(), first)
    alone.train(lambda of_stage: [], None, dict, CheckpointConfig())
    for one, other in zip(alone.model.get_weights(), whole[0].model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 10, 12, 20], ids=["first", "end-of-first", "second", "end-of-second"])
def test_a_resumed_run_ends_with_the_same_bits(config, whole, tmp_path, monkeypatch, step):
    with monkeypatch.context() as patch:
        patch.setattr(Stopped, "at", step)
        patch.setattr(trainer, "CheckpointWriter", Stopped)
        with pytest.raises(Interrupted):
            train(config, tmp_path / "run")
    checkpoint = CheckpointStore(tmp_path / "run" / "checkpoints", 9).newest()
    assert checkpoint.step == step
    resumed, rows = train(config, tmp_path / "run", checkpoint)
    assert numbers(rows) == numbers(whole[1])
    for one, other in zip(resumed.stages, whole[0].stages, strict=True):
        for resumed_weight, weight in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
            np.testing.assert_array_equal(resumed_weight, weight)
