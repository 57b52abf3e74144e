import json
import zipfile

import keras
import pytest

import vae_tf
from vae_tf import registry
from vae_tf.runs.model_file import check_classes
from vae_tf.support.errors import InputError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model = vae_tf.build_vae((8, 8, 1), latent_dim=2, arch="dense", variant="bn", hidden_sizes=(3,))
    model.compile(keras.optimizers.Adam(), jit_compile=False)
    model.save(path)
    return path


def first_layer(config):
    """The description of the first layer of the encoder, after the input."""
    return config["config"]["latents"]["config"]["encoder"]["config"]["layers"][1]


@pytest.fixture
def with_first_layer(saved, tmp_path):
    """The model with another description of the first layer of its encoder."""

    def change(**description):
        with zipfile.ZipFile(saved) as archive:
            config = json.loads(archive.read("config.json"))
        first_layer(config).update(description)
        path = tmp_path / "model.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
        return path

    return change


def test_a_model_of_this_package_passes(saved):
    check_classes(saved)


@pytest.mark.parametrize("arch", ["conv", "dense"])
@pytest.mark.parametrize("likelihood", sorted(registry.LIKELIHOODS))
def test_a_model_of_every_kind_passes(tmp_path, arch, likelihood):
    path = tmp_path / "model.keras"
    model = vae_tf.build_vae((8, 8, 3), latent_dim=2, arch=arch, likelihood=likelihood, num_classes=3)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), jit_compile=False)
    model.save(path)
    check_classes(path)


@pytest.mark.parametrize(
    ("description", "received"),
    [
        ({"class_name": "Lambda", "module": "keras.layers"}, "Lambda from keras"),
        ({"class_name": "__lambda__"}, "__lambda__ from keras"),
        ({"class_name": "function", "module": "builtins", "config": "system"}, "function from builtins"),
        ({"class_name": "system", "module": "os"}, "system from os"),
        (
            {"class_name": "Foreign", "module": "vae_tf.layers", "registered_name": "other>Foreign"},
            "Foreign from other",
        ),
        ({"class_name": "Dense", "module": "kerasx.layers"}, "Dense from kerasx"),
    ],
)
def test_another_class_is_refused_by_name(with_first_layer, description, received):
    path = with_first_layer(**description)

    with pytest.raises(InputError) as caught:
        check_classes(path)

    assert str(caught.value) == (
        f"{path} must contain only classes from keras and vae_tf, and no code. Received: {received}"
    )


def test_a_class_that_only_its_name_registers_is_refused(with_first_layer, saved):
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    del first_layer(config)["registered_name"]
    first_layer(config)["class_name"] = "other>Foreign"
    path = with_first_layer()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))

    with pytest.raises(InputError, match="Received: other>Foreign from other"):
        check_classes(path)


def test_another_model_of_keras_is_refused(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "model.keras")

    with pytest.raises(InputError, match=r"must contain a vae_tf model\. Received: Sequential"):
        check_classes(tmp_path / "model.keras")


def test_a_class_of_a_trusted_package_passes(with_first_layer):
    path = with_first_layer(class_name="Foreign", module="other.layers", registered_name="other>Foreign")

    check_classes(path, trusted=["other"])


def test_a_class_that_runs_code_is_refused_even_of_a_trusted_package(with_first_layer):
    path = with_first_layer(class_name="function", module="builtins", config="system")

    with pytest.raises(InputError, match="Received: function from builtins"):
        check_classes(path, trusted=["builtins"])


def test_a_model_of_the_first_version_is_refused_in_one_line(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    parts = config["config"].pop("latents")["config"]
    config["config"] |= {name: parts[name] for name in ("encoder", "decoder", "posterior", "prior")}
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))

    with pytest.raises(InputError, match=r"must have the current format of vae_tf models\. Received: an older format"):
        check_classes(path)
