"""Every part and whole models, to a config and back, and through a file into a new process."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import vae_tf
from vae_tf.model import ELBO, Bernoulli, DiagonalNormal, Gaussian, StandardNormal, build_vae

SHAPE = (8, 9, 1)
PARTS = [
    (DiagonalNormal, {"name": "q"}),
    (StandardNormal, {"latent_dim": 7, "name": "p"}),
    (Bernoulli, {"name": "l"}),
    (Gaussian, {"sigma": 0.3, "name": "g"}),
    (ELBO, {"beta": 2.5, "kl_schedule": "constant", "kl_warmup_steps": None, "name": "o"}),
    (ELBO, {"beta": 2.5, "kl_schedule": "cyclical", "kl_warmup_steps": 7, "name": "c"}),
]
# Every two of these values are in one of the models.
MODELS = {
    f"{arch}-{variant}-{likelihood}": {"arch": arch, "variant": variant, "likelihood": likelihood}
    for arch, variant, likelihood in (
        ("conv", "plain", "bernoulli"),
        ("conv", "bn", "gaussian"),
        ("dense", "plain", "gaussian"),
        ("dense", "bn", "bernoulli"),
    )
}
IN_A_NEW_PROCESS = """
import pathlib
import keras, numpy as np
import vae_tf.model
for path in sorted(pathlib.Path("models").glob("*.keras")):
    vae = keras.saving.load_model(path, safe_mode=True)
    outputs = {"sample": vae.sample(4, seed=1), "reconstruction": vae.reconstruct(np.load("x.npy"))}
    np.savez(path.with_suffix(".npz"), **outputs)
"""


def images(n):
    return np.random.default_rng(0).random((n, *SHAPE)).astype("float32")


def spread(vae):
    """Moves every weight, the moving statistics too, so that none of them is what a fresh model has."""
    rng = np.random.default_rng(1)
    for weight in (*vae.encoder.weights, *vae.decoder.weights):
        weight.assign(weight + rng.normal(scale=0.05, size=weight.shape))


def small_dense(**options):
    return build_vae(SHAPE, 3, "dense", hidden_sizes=(5, 4), **options)


def arrays(variables):
    return [np.asarray(variable.value).copy() for variable in variables]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder with the file of every model, and the models' outputs."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "models").mkdir()
    x, here = images(3), {}
    for name, options in MODELS.items():
        sizes = {"hidden_sizes": (6,)} if options["arch"] == "dense" else {}
        vae = build_vae(SHAPE, 3, **options, **sizes)
        spread(vae)
        vae.save(folder / "models" / f"{name}.keras")
        here[name] = {"sample": vae.sample(4, seed=1), "reconstruction": vae.reconstruct(x)}
    np.save(folder / "x.npy", x)
    return folder / "models", here


@pytest.fixture(scope="module")
def outputs_elsewhere(saved):
    """The outputs of every model that a new process loads from its file."""
    folder = saved[0].parent
    environment = {**os.environ, "PYTHONPATH": str(Path(vae_tf.__file__).parents[1]), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", IN_A_NEW_PROCESS]
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return {name: dict(np.load(folder / "models" / f"{name}.npz")) for name in MODELS}


@pytest.mark.slow
@pytest.mark.parametrize("output", ["sample", "reconstruction"])
@pytest.mark.parametrize("name", MODELS)
def test_a_new_process_gives_identical_outputs(saved, outputs_elsewhere, name, output):
    outputs = saved[1][name][output]
    assert np.ptp(outputs) > 1e-3
    np.testing.assert_array_equal(outputs_elsewhere[name][output], outputs)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_names_only_keras_and_vae_tf_classes(saved, name):
    with zipfile.ZipFile(saved[0] / f"{name}.keras") as archive:
        assert set(archive.namelist()) == {"metadata.json", "config.json", "model.weights.h5"}
        config = json.loads(archive.read("config.json"))
    objects = list(serialized_objects(config))
    assert {"VAE", "FlatLatents", "DiagonalNormal", "StandardNormal", "ELBO"} <= {
        entry["class_name"] for entry in objects
    }
    for entry in objects:
        assert entry["module"].partition(".")[0] in ("keras", "vae_tf"), entry
        assert entry["class_name"] not in ("__lambda__", "Lambda", "function"), entry


def serialized_objects(config):
    """Every `{"module": ..., "class_name": ...}` in a nested config."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from serialized_objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from serialized_objects(value)


@pytest.mark.parametrize(("part", "arguments"), PARTS)
def test_config_of_a_part_holds_its_arguments_and_makes_it_again(part, arguments):
    config = part(**arguments).get_config()
    assert {name: config[name] for name in arguments} == arguments
    assert part.from_config(config).get_config() == config


@pytest.mark.parametrize(("part", "arguments"), PARTS)
def test_a_part_survives_keras_serialization_as_json(part, arguments):
    text = json.dumps(keras.saving.serialize_keras_object(part(**arguments)))
    restored = keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)
    assert type(restored) is part
    assert {name: restored.get_config()[name] for name in arguments} == arguments


def test_config_of_a_part_keeps_its_dtype_policy():
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(StandardNormal(2, dtype="float64"))))
    assert keras.saving.deserialize_keras_object(config).dtype_policy.name == "float64"


def test_a_restored_objective_has_its_beta():
    restored = ELBO.from_config(ELBO(2.5).get_config())
    restored.build()
    assert restored.beta == 2.5


def test_config_of_a_vae_makes_an_equal_one_with_fresh_weights():
    options = {"activation": "tanh", "likelihood": "gaussian", "sigma": 0.3, "beta": 2.5, "seed": 9}
    vae = small_dense(variant="plain", **options)
    vae.micro_batch_size = 3
    config = json.loads(json.dumps(vae.get_config()))
    restored = type(vae).from_config(config)
    assert json.loads(json.dumps(restored.get_config())) == config
    assert restored.micro_batch_size == 3
    restored.build((None, *SHAPE))
    hidden = [layer for layer in restored.encoder.layers if isinstance(layer, keras.layers.Dense)]
    assert [(layer.units, layer.activation.__name__) for layer in hidden] == [(5, "tanh"), (4, "tanh"), (6, "linear")]
    assert (restored.likelihood.sigma, restored.objective.beta, restored.seed) == (0.3, 2.5, 9)
    assert [w.shape for w in restored.weights] == [w.shape for w in vae.weights]
    assert not np.array_equal(restored.encoder.get_weights()[0], vae.encoder.get_weights()[0])


def test_making_a_vae_from_a_config_leaves_the_config_as_it_was():
    config = small_dense().get_config()
    before = json.dumps(config)
    vae_tf.VAE.from_config(config)
    assert json.dumps(config) == before


def test_training_continues_from_a_file_with_the_optimizers_state(tmp_path):
    vae = small_dense(variant="bn")
    vae.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    vae.fit(images(6), batch_size=2, verbose=0)
    vae.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert int(restored.optimizer.iterations) == 3
    assert float(restored.optimizer.learning_rate) == pytest.approx(0.02)
    saved, loaded = arrays(vae.optimizer.variables), arrays(restored.optimizer.variables)
    assert max(np.abs(value).max() for value in saved[2:]) > 0
    for ours, theirs in zip(saved, loaded, strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_the_next_step_after_loading_is_the_one_that_would_have_come(tmp_path):
    vae = small_dense(variant="bn")
    vae.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    vae.fit(images(6), batch_size=2, verbose=0)
    vae.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for model in (vae, restored):  # the noise continues too
        model.train_on_batch(images(4))
    for ours, theirs in zip(arrays(vae.trainable_weights), arrays(restored.trainable_weights), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-6, atol=1e-7)


def test_the_objective_is_saved_with_the_model(tmp_path):
    vae = small_dense(beta=0.25, kl_schedule="linear", kl_warmup_steps=7)
    vae.save(tmp_path / "model.keras")
    objective = keras.saving.load_model(tmp_path / "model.keras").objective
    assert (objective.beta, objective.kl_schedule, objective.kl_warmup_steps) == (0.25, "linear", 7)


def test_the_count_of_steps_is_saved_with_the_model(tmp_path):
    vae = small_dense()
    vae.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    vae.fit(images(6), batch_size=2, verbose=0)
    vae.save(tmp_path / "model.keras")
    assert int(keras.saving.load_model(tmp_path / "model.keras").step_counter.value) == 3


def test_a_schedule_continues_after_loading(tmp_path):
    vae = small_dense(beta=4.0, kl_schedule="linear", kl_warmup_steps=8)
    vae.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    vae.fit(images(6), batch_size=2, verbose=0)
    vae.save(tmp_path / "model.keras")
    logs = keras.saving.load_model(tmp_path / "model.keras").train_on_batch(images(2), return_dict=True)
    assert logs["kl_weight"] == pytest.approx(4.0 * 3 / 8)


def test_posterior_noise_continues_after_loading(tmp_path):
    vae, x = small_dense(), images(2)
    first = np.asarray(vae.elbo_terms(x).inferred.z)
    vae.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    following = np.asarray(vae.elbo_terms(x).inferred.z)
    assert np.abs(following - first).max() > 1e-3
    np.testing.assert_allclose(restored.elbo_terms(x).inferred.z, following, rtol=1e-5, atol=1e-6)


def test_weights_alone_can_be_saved_and_loaded(tmp_path):
    vae, other = small_dense(), small_dense()
    spread(vae)
    vae.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.sample(2, seed=1), vae.sample(2, seed=1))
