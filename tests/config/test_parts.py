"""Options of parts: they belong to the part that is chosen, of the package or from outside it."""

import math
import sys
from types import ModuleType

import keras
import numpy as np
import pytest
from keras import ops
from pydantic import Field

from vae_tf import registry
from vae_tf.config import DenseOptions, ModelConfig, PartOptions, RunConfig
from vae_tf.config.parts import GaussianOptions
from vae_tf.model import Prior, build_vae
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.train import COMMAND, TrainOptions


def error_of(values):
    with pytest.raises(InputError) as caught:
        ModelConfig(**values)
    return str(caught.value)


def parse(*arguments):
    return cli.parse(TrainOptions, COMMAND, [str(argument) for argument in arguments])


@pytest.fixture
def config_file(tmp_path):
    """`config_file(text)` returns the path of a file with that text."""

    def written(text):
        path = tmp_path / "config.yml"
        path.write_text(text)
        return path

    return written


# Parts of the package


def test_options_of_chosen_parts_have_defaults():
    config = ModelConfig(arch="dense", likelihood="gaussian")

    assert (config.hidden_sizes, config.activation, config.sigma) == ((512, 256), "relu", 1.0)


@pytest.mark.parametrize("name", ["hidden_sizes", "activation", "sigma"])
def test_options_of_other_parts_do_not_exist(name):
    config = ModelConfig(arch="conv", likelihood="bernoulli")

    assert not hasattr(config, name)
    assert name not in config.model_dump()


def test_options_of_a_part_come_in_their_own_class():
    config = ModelConfig(arch="dense", hidden_sizes="30,20", likelihood="learned_gaussian", sigma=0.3)

    assert config.options(DenseOptions) == DenseOptions(hidden_sizes=(30, 20), activation="relu")
    assert config.options(GaussianOptions).sigma == 0.3


def test_arguments_of_a_part_are_its_options():
    config = ModelConfig(arch="dense", hidden_sizes=(30,), activation="tanh")

    assert config.arguments("arch") == {"hidden_sizes": (30,), "activation": "tanh"}
    assert config.arguments("prior") == {}


@pytest.mark.parametrize("sigma", [0, -1, math.nan, math.inf])
def test_sigma_must_be_positive_and_finite(sigma):
    message = error_of({"likelihood": "gaussian", "sigma": sigma})

    assert message.startswith("sigma must be ")
    assert message.endswith(f"Received: sigma={sigma}")


@pytest.mark.parametrize(("hidden_sizes", "received"), [([], "[]"), ([64, 0], "0"), (512, "512")])
def test_hidden_sizes_must_be_a_list_of_positive_integers(hidden_sizes, received):
    message = error_of({"arch": "dense", "hidden_sizes": hidden_sizes})

    assert message.startswith("hidden_sizes must be ")
    assert message.endswith(f"Received: hidden_sizes={received}")


def test_activation_must_be_a_known_one():
    message = error_of({"arch": "dense", "activation": "sine"})

    assert message.startswith("activation must be one of relu, leaky_relu, elu, gelu, silu, softplus, tanh")
    assert "Received: activation=sine" in message


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            {"sigma": 0.5},
            "sigma needs likelihood=gaussian or learned_gaussian. Received: likelihood=bernoulli, sigma=0.5",
        ),
        ({"likelihood": "bernoulli", "sigma": 0.5}, "sigma needs likelihood=gaussian or learned_gaussian"),
        ({"hidden_sizes": [64]}, "hidden_sizes needs arch=dense. Received: arch=conv, hidden_sizes=[64]"),
        ({"arch": "conv", "activation": "tanh"}, "activation needs arch=dense. Received: arch=conv, activation=tanh"),
    ],
)
def test_an_option_without_effect_is_refused(values, reason):
    assert error_of(values).startswith(reason)


def test_no_value_stands_for_the_default():
    assert ModelConfig(arch="dense", hidden_sizes=None) == ModelConfig(arch="dense")
    assert ModelConfig(hidden_sizes=None, sigma=None) == ModelConfig()


def test_the_name_of_an_option_that_is_nearly_right_gets_a_suggestion():
    assert error_of({"hiden_sizes": 3}) == "Unknown config key 'hiden_sizes'. Did you mean hidden_sizes?"


# On the command line


def test_an_option_of_a_chosen_part_is_read():
    assert parse("--arch", "dense", "--hidden-sizes", "30,20").hidden_sizes == (30, 20)


def test_an_option_without_effect_is_refused_on_the_command_line():
    with pytest.raises(
        InputError, match=r"^sigma needs likelihood=gaussian or learned_gaussian\. Received: likelihood="
    ):
        parse("--sigma", "0.5")


def test_an_option_without_effect_is_refused_in_a_file(config_file):
    with pytest.raises(
        InputError, match=r"^sigma needs likelihood=gaussian or learned_gaussian\. Received: likelihood="
    ):
        parse("--config", config_file("sigma: 0.5"))


def test_options_of_a_file_are_dropped_with_the_part_that_the_command_line_replaces(config_file):
    file = config_file("arch: dense\nhidden_sizes: [30]\nactivation: tanh\nlikelihood: gaussian\nsigma: 0.5\n")
    options = parse("--config", file, "--arch", "conv")

    assert options.arch == "conv"
    assert not hasattr(options, "hidden_sizes")
    assert not hasattr(options, "activation")
    assert options.sigma == 0.5


def test_options_of_a_file_stay_if_the_new_part_has_the_same(config_file):
    file = config_file("likelihood: gaussian\nsigma: 0.5\n")

    assert parse("--config", file, "--likelihood", "learned_gaussian").sigma == 0.5


def test_options_of_a_file_stay_if_the_command_line_names_the_same_part(config_file):
    file = config_file("arch: dense\nhidden_sizes: [30]\n")

    assert parse("--config", file, "--arch", "dense").hidden_sizes == (30,)


def test_an_option_of_a_replaced_part_is_refused_if_the_command_line_has_it_too(config_file):
    file = config_file("arch: dense\nhidden_sizes: [30]\n")
    with pytest.raises(InputError, match=r"^hidden_sizes needs arch=dense\. Received: arch=conv, hidden_sizes="):
        parse("--config", file, "--arch", "conv", "--hidden-sizes", "20")


def test_a_wrong_option_in_a_file_is_named_even_if_its_part_is_replaced(config_file):
    with pytest.raises(InputError, match=r"^Unknown config key 'hiden_sizes'"):
        parse("--config", config_file("arch: dense\nhiden_sizes: [30]\n"), "--arch", "conv")


# From outside the package


class LaplaceOptions(PartOptions):
    """Options of the prior below."""

    kind = "prior"

    prior_scale: float = Field(1.0, gt=0)
    """Width of the Laplace distribution."""


@keras.saving.register_keras_serializable(package="tests.config")
class Laplace(Prior):
    """A prior with a parameter."""

    def __init__(self, latent_dim, scale=1.0, **kwargs):
        super().__init__(latent_dim, **kwargs)
        self.scale = scale

    def log_prob(self, z):
        return ops.sum(-ops.abs(z) / self.scale - math.log(2 * self.scale), axis=-1)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@pytest.fixture
def laplace(monkeypatch, register):
    """The prior, registered as a user would."""
    module = ModuleType("my_package_priors")
    module.Laplace, module.LaplaceOptions = Laplace, LaplaceOptions
    monkeypatch.setitem(sys.modules, module.__name__, module)
    register("prior", "laplace", "my_package_priors:Laplace", "my_package_priors:LaplaceOptions")


@pytest.mark.usefixtures("laplace")
def test_the_option_of_a_foreign_part_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        parse("--help")

    shown = " ".join(capsys.readouterr().out.split())
    assert "--prior-scale" in shown
    assert "Width of the Laplace distribution. Default: 1." in shown


@pytest.mark.usefixtures("laplace")
def test_the_option_of_a_foreign_part_is_read_from_the_command_line():
    assert parse("--prior", "laplace", "--prior-scale", "0.5").prior_scale == 0.5
    assert parse("--prior", "laplace").prior_scale == 1.0


@pytest.mark.usefixtures("laplace")
def test_the_option_of_a_foreign_part_is_checked():
    with pytest.raises(InputError, match=r"^prior_scale must be greater than 0\.0\. Received: prior_scale=-1"):
        parse("--prior", "laplace", "--prior-scale", "-1")
    with pytest.raises(InputError, match=r"^prior_scale needs prior=laplace\. Received: prior=standard_normal"):
        parse("--prior-scale", "0.5")


@pytest.mark.usefixtures("laplace")
def test_a_foreign_part_is_written_and_read(config_file):
    config = RunConfig(prior="laplace", prior_scale=0.5)

    assert RunConfig.from_yaml(config_file(config.to_yaml())) == config


@pytest.mark.usefixtures("laplace")
def test_a_foreign_part_is_built_with_its_options():
    vae = build_vae((8, 8, 1), 3, "dense", prior="laplace", prior_scale=0.5, hidden_sizes=(4,))
    z = np.array([[0.0, 0.0, 0.0], [0.5, -1.0, 2.0]], "float32")

    assert type(vae.prior) is Laplace
    # -|z| / 0.5 - log(1), summed.
    np.testing.assert_allclose(vae.prior.log_prob(z), [0, -7], atol=1e-6)


@pytest.mark.usefixtures("laplace")
def test_a_foreign_part_is_saved_and_loaded(tmp_path):
    vae = build_vae((8, 8, 1), 3, "dense", prior="laplace", prior_scale=0.5, hidden_sizes=(4,))
    vae.save(tmp_path / "model.keras")

    prior = keras.saving.load_model(tmp_path / "model.keras").prior
    assert (type(prior), prior.scale, prior.latent_dim) == (Laplace, 0.5, 3)


@pytest.mark.usefixtures("laplace")
def test_a_foreign_part_trains():
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 3, "dense", prior="laplace", hidden_sizes=(4,))
    vae.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    x = np.random.default_rng(0).random((32, 8, 8, 1), np.float32)

    losses = vae.fit(x, epochs=10, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.usefixtures("laplace")
def test_a_name_is_registered_once():
    with pytest.raises(
        InputError, match=r"^prior=laplace is already registered as my_package_priors:\w+; choose another name"
    ):
        registry.register("prior", "laplace", "elsewhere:Laplace")


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(
        InputError, match=r"^kind must be one of arch, latents, posterior, prior, likelihood, objective, sampler"
    ):
        registry.register("priors", "laplace", "elsewhere:Laplace")
