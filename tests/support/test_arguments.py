"""The help of the commands: headings, the words that stand for values, defaults, and lines."""

import re

import pytest

from vae_tf import registry
from vae_tf.__main__ import COMMANDS, load_command
from vae_tf.compare import CompareOptions
from vae_tf.fit_sampler import FitSamplerOptions
from vae_tf.sample import SampleOptions
from vae_tf.score import ScoreOptions
from vae_tf.support import cli
from vae_tf.train import TrainOptions

ALL_OPTIONS = [load_command(name).options_class for name in COMMANDS]
for_all_commands = pytest.mark.parametrize("options_class", ALL_OPTIONS, ids=lambda options: options.__name__)


@pytest.fixture
def show_help(capsys, monkeypatch):
    """`show_help(options_class)` returns the help of a command in a terminal of 80 columns."""

    def shown(options_class) -> str:
        monkeypatch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as ended:
            cli.parse(options_class, "command", ["--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return shown


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def by_heading(text: str) -> dict[str, list[str]]:
    """The options of a help text, keyed by heading."""
    options: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"(\w[\w ]*):", line):
            names = options.setdefault(heading[1], [])
        elif option := re.match(r"  (?:-h, )?(?:--)?(?:\[no-\])?(\w[\w-]*)", line):
            names.append(option[1])
    return options


def test_options_of_train_are_listed_by_what_they_affect(show_help):
    options = by_heading(show_help(TrainOptions))

    assert list(options) == ["options", "model", "data", "training", "checkpoints", "output"]
    assert options["options"] == ["help", "config"]
    assert options["output"] == ["run-dir", "overwrite", "track", "tensorboard"]
    assert {"arch", "variant", "latent-dim", "beta"} <= set(options["model"])
    assert {"dataset", "data-dir", "image-size"} <= set(options["data"])
    assert {"epochs", "batch-size", "learning-rate", "seed", "device", "distribute"} <= set(options["training"])
    assert {"resume", "checkpoint-dir"} <= set(options["checkpoints"])


def test_options_of_a_part_are_listed_with_the_option_that_selects_it(show_help):
    options = by_heading(show_help(TrainOptions))

    assert {"arch", "hidden-sizes", "likelihood", "sigma"} <= set(options["model"])
    assert {"sampler", "sampler-components"} <= set(options["training"])


def test_what_compare_itself_takes_comes_before_the_options_of_training(show_help):
    options = by_heading(show_help(CompareOptions))

    assert list(options) == ["options", "comparison", "model", "data", "training", "evaluation"]
    assert {"RUNS", "out", "variants", "seeds"} <= set(options["comparison"])


@for_all_commands
def test_every_option_is_listed_once(options_class, show_help):
    listed = [name for names in by_heading(show_help(options_class)).values() for name in names]
    hidden = {"variant"} if options_class is CompareOptions else set()  # --variants takes its place
    fields = {*options_class.model_fields, *options_class.extra_fields()} - hidden

    assert sorted(map(str.lower, listed)) == sorted([*(name.replace("_", "-") for name in fields), "help"])


@for_all_commands
def test_help_fits_the_terminal_and_shows_no_python(options_class, show_help):
    text = show_help(options_class)

    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert re.findall(r"tuple|None|True|False|\bint\b|\bstr\b|\bfloat\b|typing|Annotated|\(default", text) == []


@for_all_commands
def test_no_option_has_two_defaults(options_class, show_help):
    texts = re.split(r"^  -", show_help(options_class), flags=re.MULTILINE)

    assert [text for text in texts if text.count("Default") > 1] == []


@for_all_commands
def test_names_of_options_in_the_help_exist_and_are_not_broken(options_class, show_help):
    text = show_help(options_class)
    listed = {name for names in by_heading(text).values() for name in names}

    assert set(re.findall(r"(?<![\w-])--(\w[\w-]*)", text)) <= listed


@pytest.mark.parametrize(
    "shown",
    [
        "--arch {conv,dense} Network architecture: convolutional, or dense (fully connected). Default: conv.",
        "--data-dir PATH Path",
        "--hidden-sizes INT,INT,... Number",
        "the decoder mirrors them. Default: 512,256.",
        "--latent-dim INT Number of latent dimensions. Default: 128.",
        "--learning-rate FLOAT Learning rate of Adam; with a schedule, the peak learning rate. Default: 0.001.",
        "--image-size SIZE Resize",
        "--dataset NAME Dataset",
        "--channels {1,3} Convert",
        "--[no-]jit Compile the training step with XLA. Default: off.",
        "kernels are not deterministic. Default: on.",
        "which decays to 1% of the initial value. Default: constant.",
    ],
)
def test_help_shows_what_an_option_takes_and_its_default(shown, show_help):
    assert shown in in_one_line(show_help(TrainOptions))


def test_a_list_of_names_is_shown_as_such(show_help):
    assert "--variants NAME,NAME,... Variants to train and compare, such as plain,bn;" in in_one_line(
        show_help(CompareOptions)
    )


def test_names_that_no_text_lists_follow_it(show_help):
    assert f"One of: {', '.join(registry.DATASETS)}." in in_one_line(show_help(ScoreOptions))


def test_help_says_what_the_command_does(show_help):
    assert "Train a variational autoencoder and write a run folder" in in_one_line(show_help(TrainOptions))


def test_usage_shows_what_is_required(show_help):
    assert show_help(SampleOptions).startswith("usage: command --run PATH [options]\n")
    assert show_help(CompareOptions).startswith("usage: command [RUNS ...] --out PATH [options]\n")
    assert "--run PATH Run folder. Required." in in_one_line(show_help(SampleOptions))


@for_all_commands
def test_every_option_has_a_help_text(options_class):
    fields = {**options_class.model_fields, **options_class.extra_fields()}
    assert [name for name, field in fields.items() if not field.description and name != "variant"] == []


@pytest.mark.parametrize(
    ("options_class", "words"),
    [
        (CompareOptions, ("--variants", "bn", "--out", "x", "--arch", "dense", "--hidden-sizes", "8", "4")),
        (TrainOptions, ("--arch", "dense", "--hidden-sizes", "8,4")),
    ],
    ids=["compare", "train"],
)
def test_options_of_a_part_can_be_set(options_class, words):
    assert cli.parse(options_class, "command", words).hidden_sizes == (8, 4)


def test_options_of_a_sampler_can_be_set():
    options = cli.parse(FitSamplerOptions, "command", ["--run", "x", "--sampler", "gmm", "--sampler-components", "3"])

    assert options.arguments("sampler") == {"components": 3}
