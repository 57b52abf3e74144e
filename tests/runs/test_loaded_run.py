"""A run's model comes back as it was saved, or not at all."""

import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.runs.new_run import create_run_dir
from vae_tf.support.errors import InputError

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def model():
    """A small model with moving averages that are not the initial ones."""
    model = vae_tf.build_vae(SHAPE, latent_dim=2, arch="dense", variant="bn", hidden_sizes=(6,), seed=3)
    generator = np.random.default_rng(0)
    model.set_weights([weight + generator.uniform(0, 0.05, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def run(tmp_path):
    return create_run_dir(tmp_path / "run", overwrite=False)


def test_folder_that_is_not_there_is_no_run(tmp_path):
    with pytest.raises(InputError, match="must be a run folder"):
        vae_tf.load_run(tmp_path / "nowhere")


def test_run_without_a_model_is_not_finished(run):
    run.write_config(RunConfig())
    with pytest.raises(InputError, match="finished"):
        vae_tf.load_run(run.path).model  # noqa: B018


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_truncated_model_is_one_line(run, model, keep):
    run.write_config(RunConfig())
    path = run.save_model(model)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="is damaged") as raised:
        vae_tf.load_run(run.path).model  # noqa: B018
    assert len(str(raised.value).splitlines()) == 1
    assert "model.keras" in str(raised.value)


def test_loaded_model_gives_the_same_outputs(run, model):
    run.write_config(RunConfig())
    assert run.save_model(model) == run.path / "model.keras"
    loaded = vae_tf.load_run(str(run.path)).model
    images = np.random.default_rng(1).random((5, *SHAPE), np.float32)
    np.testing.assert_array_equal(loaded.encode(images), model.encode(images))
    np.testing.assert_array_equal(loaded.reconstruct(images), model.reconstruct(images))
    np.testing.assert_array_equal(loaded.sample(4, seed=2), model.sample(4, seed=2))


def test_loaded_model_continues_the_noise_of_the_saved_one(run, model):
    run.write_config(RunConfig())
    images = np.random.default_rng(1).random((5, *SHAPE), np.float32)
    model.elbo_terms(images)
    run.save_model(model)
    loaded = vae_tf.load_run(run.path).model
    np.testing.assert_array_equal(loaded.elbo_terms(images).inferred.z, model.elbo_terms(images).inferred.z)
