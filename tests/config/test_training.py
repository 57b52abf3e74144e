"""Options of a run: defaults, files and their format, and what is resolved."""

import math
from pathlib import Path

import pytest
import yaml

from vae_tf import registry
from vae_tf.config import DenseOptions, RunConfig
from vae_tf.config.parts import GaussianOptions
from vae_tf.support.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"

NON_DEFAULT = {
    "dataset": "folder",
    "data_dir": "/data/cats",
    "image_size": "64x48",
    "fit": "pad",
    "channels": 1,
    "flip": True,
    "binarize": "dynamic",
    "conditional": True,
    "corrupt": "mask:0.5",
    "val_fraction": 0.25,
    "cache_dir": "/data/cache",
    "batch_size": 20,
    "seed": 7,
    "arch": "dense",
    "variant": "plain",
    "batch_norm_momentum": 0.99,  # the default: another value needs variant=bn
    "latent_dim": 50,
    "hidden_sizes": (200, 100),
    "activation": "tanh",
    "latents": "other",
    "posterior": "other",
    "prior": "other",
    "likelihood": "gaussian",
    "sigma": 0.3,
    "objective": "other",
    "beta": 4.0,
    "kl_schedule": "cyclical",
    "kl_warmup_epochs": 2.5,
    "sampler": "other",
    "epochs": 3,
    "learning_rate": 2e-5,
    "learning_rate_schedule": "cosine",
    "warmup_steps": 10,
    "clip_norm": 1.5,
    "ema": 0.99,
    "micro_batch_size": 5,
    "precision": "mixed_bfloat16",
    "jit": True,
    "on_nan": "rollback",
    "deterministic": False,
    "sample_every": 5,
    "device": "cpu",
}


def error_of(values):
    with pytest.raises(InputError) as caught:
        RunConfig(**values)
    return str(caught.value)


def yaml_file(folder, text):
    path = folder / "run.yml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def others(register):
    """A part named "other" of each kind that there is one of, or none."""
    for kind in ("latents", "posterior", "prior", "objective", "sampler"):
        register(kind, "other", "elsewhere:Other")


OPTIONS_ABOVE = {**DenseOptions.model_fields, **GaussianOptions.model_fields}


def test_the_round_trip_below_covers_every_field_with_a_value_that_is_not_the_default():
    defaults = {name: field.default for name, field in {**RunConfig.model_fields, **OPTIONS_ABOVE}.items()}
    assert defaults.keys() == NON_DEFAULT.keys()
    same = [name for name, default in defaults.items() if NON_DEFAULT[name] == default]
    assert same == ["batch_norm_momentum"]


@pytest.mark.usefixtures("others")
def test_yaml_round_trip_keeps_every_value(tmp_path):
    config = RunConfig(**NON_DEFAULT)

    again = RunConfig.from_yaml(yaml_file(tmp_path, config.to_yaml()))

    assert again == config
    assert again.model_dump() == NON_DEFAULT


@pytest.mark.parametrize(("kind", "name"), registry.OPTIONS)
def test_yaml_round_trip_keeps_the_options_of_every_part(tmp_path, other_value, kind, name):
    options = registry.resolve(registry.OPTIONS[kind, name])
    values = {option: other_value(field) for option, field in options.model_fields.items()}
    config = RunConfig(**{kind: name}, **values)

    again = RunConfig.from_yaml(yaml_file(tmp_path, config.to_yaml()))

    assert again == config
    assert again.options(options).model_dump() == values


def test_yaml_round_trip_keeps_the_defaults(tmp_path):
    assert RunConfig.from_yaml(yaml_file(tmp_path, RunConfig().to_yaml())) == RunConfig()


def test_defaults_are_those_of_the_main_command():
    assert RunConfig().model_dump() == {
        "dataset": "fashion_mnist_sample",
        "data_dir": None,
        "image_size": None,
        "fit": None,
        "channels": None,
        "flip": False,
        "binarize": "none",
        "conditional": False,
        "corrupt": "none",
        "val_fraction": 0.1,
        "cache_dir": None,
        "batch_size": 128,
        "seed": 0,
        "arch": "conv",
        "variant": "bn",
        "batch_norm_momentum": 0.99,
        "latent_dim": 128,
        "latents": "flat",
        "posterior": "diagonal_normal",
        "prior": "standard_normal",
        "likelihood": "bernoulli",
        "objective": "elbo",
        "beta": 1.0,
        "kl_schedule": "constant",
        "kl_warmup_epochs": None,
        "sampler": None,
        "epochs": 10,
        "learning_rate": 1e-3,
        "learning_rate_schedule": "constant",
        "warmup_steps": None,
        "clip_norm": None,
        "ema": None,
        "micro_batch_size": None,
        "precision": "float32",
        "jit": False,
        "on_nan": "skip",
        "deterministic": True,
        "sample_every": 1,
        "device": "auto",
    }


@pytest.mark.parametrize(
    ("key", "value", "requirement"),
    [
        ("learning_rate", 0, "greater than 0"),
        ("learning_rate", math.nan, "a finite number"),
        ("learning_rate", math.inf, "a finite number"),
        ("learning_rate", "fast", "a number"),
        ("learning_rate_schedule", "stairs", "one of constant, linear, cosine, exponential"),
        ("clip_norm", 0, "greater than 0"),
        ("clip_norm", math.inf, "a finite number"),
        ("ema", 1, "less than 1"),
        ("ema", 0, "greater than 0"),
        ("micro_batch_size", 0, "at least 1"),
        ("precision", "float16", "one of 'float32', 'mixed_bfloat16' or 'mixed_float16'"),
        ("jit", "fast", "true or false"),
        ("epochs", 0, "at least 1"),
        ("epochs", None, "an integer"),
        ("sample_every", 0, "at least 1"),
        ("device", "tpu", "one of 'auto', 'cpu' or 'gpu'"),
    ],
)
def test_value_out_of_range_is_one_line_with_the_requirement_and_what_came(key, value, requirement):
    message = error_of({key: value})

    assert message.startswith(f"{key} must be {requirement}")
    assert f"Received: {key}={value}" in message
    assert len(message.splitlines()) == 1


def test_resolved_takes_the_shape_from_the_data():
    config = RunConfig().fill_in_defaults((28, 20, 3))

    assert (config.image_size, config.channels) == ("28x20", 3)


@pytest.mark.parametrize(("dataset", "fit"), [("folder", "crop"), ("npz", "stretch"), ("mnist", "stretch")])
def test_the_default_fit_is_spelled_out(dataset, fit):
    assert RunConfig(dataset=dataset).fill_in_defaults((28, 28, 1)).fit == fit
    assert RunConfig(dataset=dataset, fit="pad").fill_in_defaults((28, 28, 1)).fit == "pad"


def test_the_defaults_of_dense_and_gaussian_are_spelled_out():
    config = RunConfig(arch="dense", likelihood="gaussian").fill_in_defaults((28, 28, 1))

    assert (config.hidden_sizes, config.activation, config.sigma) == ((512, 256), "relu", 1.0)


def test_what_has_no_effect_is_left_out():
    dumped = RunConfig().fill_in_defaults((28, 28, 1)).model_dump()

    assert dumped.keys().isdisjoint({"hidden_sizes", "activation", "sigma"})


@pytest.mark.usefixtures("others")
def test_resolved_keeps_what_was_chosen():
    config = RunConfig(**NON_DEFAULT).fill_in_defaults((64, 48, 1))

    # Where this machine keeps what it decoded changes no number.
    assert config.model_dump() == {**NON_DEFAULT, "cache_dir": None}


def test_resolved_makes_data_dir_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    config = RunConfig(dataset="folder", data_dir="cats").fill_in_defaults((64, 64, 3))

    assert config.data_dir == str(tmp_path.resolve() / "cats")


def test_a_resolved_config_survives_yaml_and_resolves_to_itself(tmp_path):
    resolved = RunConfig(arch="dense", likelihood="gaussian").fill_in_defaults((28, 28, 1))

    again = RunConfig.from_yaml(yaml_file(tmp_path, resolved.to_yaml()))

    assert again == resolved
    assert again.fill_in_defaults((28, 28, 1)) == resolved


def test_yaml_reads_an_exponent_without_a_point_as_a_number(tmp_path):
    assert RunConfig.from_yaml(yaml_file(tmp_path, "learning_rate: 1e-4")).learning_rate == 0.0001


def test_empty_yaml_means_the_defaults(tmp_path):
    assert RunConfig.from_yaml(yaml_file(tmp_path, "# nothing but a comment\n")) == RunConfig()


@pytest.mark.parametrize(
    "text",
    [
        "latent_dim: [1,",
        "a: b: c",
        "seed: !!python/object/apply:os.getcwd []",
        pytest.param("data_dir: 2024-13-01", id="a date that is none"),
        "\0",
    ],
)
def test_broken_yaml_is_one_line_that_names_the_file(tmp_path, text):
    path = yaml_file(tmp_path, text)

    with pytest.raises(InputError, match="config must be valid YAML") as caught:
        RunConfig.from_yaml(path)

    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "run.yml"
    path.write_bytes(b"epochs: 3 # \xff\xfe")

    with pytest.raises(InputError, match="config must be valid YAML"):
        RunConfig.from_yaml(path)


@pytest.mark.parametrize("text", ["- epochs\n- 3", "epochs", "3"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="config must be a YAML mapping"):
        RunConfig.from_yaml(yaml_file(tmp_path, text))


def test_missing_yaml_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"config must be a readable YAML file.*absent\.yml \(No such file"):
        RunConfig.from_yaml(tmp_path / "absent.yml")


def test_a_folder_is_no_yaml_file(tmp_path):
    with pytest.raises(InputError, match="config must be a readable YAML file"):
        RunConfig.from_yaml(tmp_path)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yml")), ids=lambda path: path.stem)
def test_every_config_of_the_repository_is_valid(path):
    given = yaml.safe_load(path.read_text(encoding="utf-8"))

    config = RunConfig.from_yaml(path)

    assert given
    # A file of an older format always gets its fit.
    assert set(given) <= config.model_fields_set <= {*given, "fit", *RunConfig.extra_fields()}


@pytest.mark.parametrize("name", ["fashion_mnist_sample", "fashion_mnist", "mnist", "cifar10", "stl10"])
def test_every_built_in_dataset_has_a_config(name):
    assert RunConfig.from_yaml(CONFIGS / f"{name}.yml").dataset == name


@pytest.mark.parametrize(("version", "variant"), [("v1", "plain"), ("v2", "bn")])
@pytest.mark.parametrize("latent_dim", [64, 128])
def test_the_configs_of_the_original_hold_its_values(version, variant, latent_dim):
    config = RunConfig.from_yaml(CONFIGS / f"{version}_latent{latent_dim}.yml")

    assert config == RunConfig(
        variant=variant,
        latent_dim=latent_dim,
        dataset="folder",
        image_size="50x50",
        fit="stretch",
        channels=1,
        val_fraction=0,
        batch_size=128,
        epochs=100,
        sample_every=config.sample_every,
        arch="conv",
        likelihood="bernoulli",
        beta=1,
        learning_rate=1e-3,
    )
    assert all(epoch % config.sample_every == 0 for epoch in (10, 25, 50, 100))


def test_the_config_of_the_stl10_notebook_holds_its_values():
    config = RunConfig.from_yaml(CONFIGS / "stl10.yml")

    assert (config.latent_dim, config.batch_size, config.learning_rate, config.epochs) == (10, 128, 1e-3, 300)
    assert config.val_fraction == 0
    # Of a normal density, 1 / (2 sigma^2) is the weight of the squared error.
    assert 0.5 / config.sigma**2 == pytest.approx(1, abs=1e-7)


def test_toy_sets_have_defaults_of_their_own():
    config = RunConfig(dataset="moons", beta=2)
    assert (config.arch, config.variant, config.activation) == ("dense", "plain", "leaky_relu")
    assert (config.likelihood, config.latent_dim, config.beta) == ("learned_gaussian", 2, 2)


def test_what_is_said_wins_over_the_defaults_of_a_toy_set():
    config = RunConfig(dataset="moons", likelihood="gaussian", sigma=0.2, variant="bn", epochs=3)
    assert (config.likelihood, config.sigma, config.variant, config.epochs) == ("gaussian", 0.2, "bn", 3)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"arch": "conv"}, "dataset=moons needs arch=dense. Received: arch=conv"),
        (
            {"likelihood": "bernoulli"},
            "likelihood must be gaussian or learned_gaussian. Received: likelihood=bernoulli",
        ),
    ],
)
def test_what_a_toy_set_can_not_do_is_refused(values, reason):
    assert reason in error_of({"dataset": "moons", **values})


def test_a_toy_run_resolves_without_an_image_size():
    config = RunConfig(dataset="moons").fill_in_defaults((2,))
    assert (config.image_size, config.channels, config.fit) == (None, None, None)


@pytest.mark.parametrize("likelihood", ["continuous_bernoulli", "logistic_mixture"])
def test_binary_pixels_are_not_for_likelihoods_of_grey_values(likelihood):
    assert (
        f"likelihood={likelihood} models pixel intensities, not binary pixels. Received: binarize=static"
        in error_of({"likelihood": likelihood, "binarize": "static"})
    )


@pytest.mark.parametrize(
    ("values", "requirement"),
    [
        ({"warmup_steps": 10}, "warmup_steps needs learning_rate_schedule=cosine"),
        ({"micro_batch_size": 128}, "micro_batch_size must be less than batch_size"),
    ],
)
def test_an_option_without_effect_is_refused(values, requirement):
    assert error_of(values).startswith(requirement)


def test_a_file_says_which_format_it_has():
    assert yaml.safe_load(RunConfig().to_yaml())["format_version"] == 3


# As the first version wrote it, with a key for every option whether it had an effect or not.
FIRST_FORMAT = """
dataset: npz
data_dir: /data/cats.npz
image_size: 64x48
channels: 3
binarize: none
conditional: false
corrupt: none
val_fraction: 0.1
cache_dir: null
batch_size: 20
seed: 7
arch: {arch}
variant: bn
latent_dim: 50
hidden_sizes: {hidden_sizes}
activation: {activation}
likelihood: {likelihood}
sigma: {sigma}
beta: 4.0
epochs: 3
learning_rate: 0.001
learning_rate_schedule: constant
warmup_steps: null
clip_norm: null
ema: null
micro_batch_size: null
precision: float32
jit: false
on_nan: skip
deterministic: true
sample_every: 5
device: auto
"""
COMMON = {
    "dataset": "npz",
    "data_dir": "/data/cats.npz",
    "image_size": "64x48",
    "channels": 3,
    "batch_size": 20,
    "seed": 7,
    "latent_dim": 50,
    "beta": 4.0,
    "epochs": 3,
    "sample_every": 5,
}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (
            {"arch": "conv", "hidden_sizes": "null", "activation": "null", "likelihood": "bernoulli", "sigma": "null"},
            {},
        ),
        (
            {
                "arch": "dense",
                "hidden_sizes": "[200, 100]",
                "activation": "tanh",
                "likelihood": "gaussian",
                "sigma": "0.3",
            },
            {"arch": "dense", "hidden_sizes": (200, 100), "activation": "tanh", "likelihood": "gaussian", "sigma": 0.3},
        ),
        (
            {"arch": "dense", "hidden_sizes": "null", "activation": "null", "likelihood": "gaussian", "sigma": "null"},
            {"arch": "dense", "likelihood": "gaussian"},
        ),
    ],
    ids=["conv", "dense", "dense, defaults"],
)
def test_a_file_of_the_first_format_is_read(tmp_path, written, meant):
    config = RunConfig.from_yaml(yaml_file(tmp_path, FIRST_FORMAT.format(**written)))

    assert config == RunConfig(**COMMON, fit="stretch", **meant)


@pytest.mark.parametrize("header", ["", "format_version: 1\n", "format_version: 2\n"])
def test_a_file_of_an_older_format_stretches_images(tmp_path, header):
    path = yaml_file(tmp_path, f"{header}dataset: folder\ndata_dir: cats\n")

    assert RunConfig.from_yaml(path).image_fit == "stretch"


def test_a_file_of_this_format_has_the_default_or_its_own_fit(tmp_path):
    text = "format_version: 3\ndataset: folder\ndata_dir: cats\n"

    assert RunConfig.from_yaml(yaml_file(tmp_path, text)).image_fit == "crop"
    assert RunConfig.from_yaml(yaml_file(tmp_path, f"{text}fit: pad\n")).image_fit == "pad"


def test_an_older_file_has_no_say_over_the_command_line(tmp_path):
    older = {"dataset": "folder", "data_dir": "cats"}

    assert RunConfig(**RunConfig.merge(older, {"fit": "crop"})).image_fit == "crop"
    assert RunConfig(**RunConfig.merge(older, {"dataset": "moons", "data_dir": None})).fit is None
    assert RunConfig(**RunConfig.merge({}, older)).image_fit == "crop"


@pytest.mark.parametrize("version", ["4", "2.5", "next", "0"])
def test_a_file_of_another_format_is_refused_in_one_line(tmp_path, version):
    path = yaml_file(tmp_path, f"format_version: {version}\nno_such_key: 1\n")
    with pytest.raises(InputError) as caught:
        RunConfig.from_yaml(path)

    assert str(caught.value) == (
        f"format_version of a config must be an integer from 1 to 3. Received: {version}; use the version of "
        "vae_tf that wrote it, or a later one"
    )
