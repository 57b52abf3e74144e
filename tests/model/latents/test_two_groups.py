"""A latent model that is not flat goes through the same commands: trained, resumed, evaluated, sampled."""

import csv
import json
import shutil

import numpy as np
import pytest
import two_groups  # noqa: F401  # registers its class

import vae_tf
from vae_tf import registry
from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.model_file import load_keras_file
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.training import trainer
from vae_tf.training.run import run_training

CLOCK = {"seconds", "images_per_second"}


@pytest.fixture(scope="module")
def registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.LATENTS, "two_groups", "two_groups:two_groups")
        yield


def history(run):
    with (run.path / "history.csv").open() as file:
        return [{name: row[name] for name in row.keys() - CLOCK} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def config(registered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two_groups")
    x = np.random.default_rng(0).integers(0, 256, (120, 8, 8), np.uint8)
    np.savez(folder / "data.npz", x_train=x[:90], x_test=x[90:])
    return RunConfig(
        dataset="npz", data_dir=str(folder / "data.npz"), latents="two_groups", epochs=3, batch_size=16, latent_dim=3
    )


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    return run_training(config, tmp_path_factory.mktemp("runs") / "whole")


def load(run):
    return LoadedRun(run, trusted=("two_groups",))


def test_it_trains(run):
    rows = history(run)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_the_kl_loss_is_the_sum_over_the_groups(run):
    model = load(run).model
    x = np.random.default_rng(1).random((5, 8, 8, 1)).astype("float32")
    terms = model.elbo_terms(x, num_samples=3, seed=0)
    total = sum(np.asarray(kl).sum(axis=-1) for kl in terms.inferred.kl.values())
    assert {name: kl.shape for name, kl in terms.inferred.kl.items()} == {"z1": (5, 2), "z2": (5, 1)}
    np.testing.assert_allclose(terms.kl_loss(), total, rtol=1e-6)


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_with_the_same_bits(config, run, tmp_path, monkeypatch):
    class Stopping(trainer.CheckpointWriter):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            if self.saved_step == 8:
                raise Interrupted(15, "stopped")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "CheckpointWriter", Stopping)
        with pytest.raises(Interrupted):
            run_training(config, tmp_path / "run", checkpoints=CheckpointConfig(checkpoint_steps=4))
    resumed = run_training(config, tmp_path / "run", checkpoints=CheckpointConfig(checkpoint_steps=4))
    assert history(resumed) == history(run)
    for one, other in zip(load(resumed).model.get_weights(), load(run).model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_is_evaluated(run, tmp_path):
    from vae_tf.report.evaluation import evaluate_run

    shutil.copytree(run.path, tmp_path / "run")
    evaluate_run(load(RunDir(tmp_path / "run")), EvaluationConfig(nll_images=4, nll_samples=8))
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {"elbo", "active_units"} <= metrics["metrics"].keys()
    assert "mutual_information" not in metrics["metrics"]  # which needs one normal posterior
    assert len(metrics["kl_per_dimension"]["values"]) == 3


def test_it_is_sampled(run):
    model = load(run).model
    assert model.sample(4, seed=0).shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(model.sample(4, seed=0), model.sample(4, seed=0))
    assert model.interpolate(model.sample(2, 0), model.sample(2, 1), 3).shape == (2, 3, 8, 8, 1)


def test_a_class_of_another_package_loads_only_if_it_is_trusted(run):
    path = run.path / "model.keras"
    with pytest.raises(InputError, match="must contain only classes from keras and vae_tf"):
        load_keras_file(path)
    assert vae_tf.load_run(run.path, trusted=("two_groups",)).model.latents.latent_dim == 3
