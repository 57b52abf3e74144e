"""The command line: where options come from, what mistakes look like, how the process ends."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import vae_tf
from vae_tf import registry
from vae_tf.config import DenseOptions, RunConfig
from vae_tf.config.parts import GaussianOptions
from vae_tf.sample import SampleOptions
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.train import COMMAND, TrainOptions

ROOT = Path(vae_tf.__file__).resolve().parents[1]
LOADS = "from vae_tf.support.quiet_tensorflow import load_tensorflow; load_tensorflow()"

# One value for each option that is not its default, as typed and as read.
NON_DEFAULTS = {
    "dataset": ("folder", "folder"),
    "data_dir": ("some/images", "some/images"),
    "image_size": ("64x48", "64x48"),
    "fit": ("pad", "pad"),
    "channels": ("3", 3),
    "flip": ("", True),
    "binarize": ("static", "static"),
    "conditional": ("", True),
    "corrupt": ("mask:0.5", "mask:0.5"),
    "val_fraction": ("0.25", 0.25),
    "cache_dir": ("some/cache", "some/cache"),
    "distribute": ("none", "none"),
    "worker_timeout": ("7", 7.0),
    "batch_size": ("7", 7),
    "seed": ("5", 5),
    "arch": ("dense", "dense"),
    "variant": ("plain", "plain"),
    "batch_norm_momentum": ("0.9", 0.9),
    "latent_dim": ("3", 3),
    "hidden_sizes": ("30,20", (30, 20)),
    "activation": ("tanh", "tanh"),
    "latents": ("other", "other"),
    "posterior": ("other", "other"),
    "prior": ("other", "other"),
    "likelihood": ("gaussian", "gaussian"),
    "sigma": ("0.5", 0.5),
    "objective": ("other", "other"),
    "beta": ("4", 4.0),
    "kl_schedule": ("cyclical", "cyclical"),
    "kl_warmup_epochs": ("2.5", 2.5),
    "sampler": ("other", "other"),
    "epochs": ("2", 2),
    "learning_rate": ("1e-4", 1e-4),
    "learning_rate_schedule": ("cosine", "cosine"),
    "warmup_steps": ("5", 5),
    "clip_norm": ("2.5", 2.5),
    "ema": ("0.99", 0.99),
    "micro_batch_size": ("4", 4),
    "precision": ("mixed_bfloat16", "mixed_bfloat16"),
    "jit": ("", True),
    "on_nan": ("rollback", "rollback"),
    "resume": ("never", "never"),
    "checkpoint_dir": ("some/where", "some/where"),
    "checkpoint_steps": ("100", 100),
    "checkpoint_minutes": ("2.5", 2.5),
    "keep_checkpoints": ("5", 5),
    "sample_every": ("3", 3),
    "device": ("cpu", "cpu"),
    "run_dir": ("runs/x", "runs/x"),
}


def parse(*arguments: object) -> TrainOptions:
    return cli.parse(TrainOptions, COMMAND, [str(argument) for argument in arguments])


def python(*arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)])}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def imported_modules(importtime: str) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in importtime.splitlines() if line.startswith("import time:")}


def yaml_file(folder: Path, text: str) -> Path:
    path = folder / "config.yml"
    path.write_text(text)
    return path


def test_an_option_like_no_other_gets_no_hint():
    with pytest.raises(InputError, match=r"Unknown option '--out'$"):
        parse("--out", "x")


def test_without_options_the_defaults_hold():
    options = parse()
    assert (options.dataset, options.arch, options.variant) == ("fashion_mnist_sample", "conv", "bn")
    assert (options.latent_dim, options.batch_size, options.epochs, options.seed) == (128, 128, 10, 0)
    assert options.val_fraction == 0.1
    assert not options.overwrite


def test_table_of_non_defaults_names_every_option():
    options = {*TrainOptions.model_fields, *DenseOptions.model_fields, *GaussianOptions.model_fields}
    assert set(NON_DEFAULTS) == options - {
        *("config", "overwrite", "track", "tensorboard", "require_gpu"),
        "deterministic",  # on by itself: see below
    }


@pytest.fixture
def others(register):
    """A part named "other" of each kind that there is one of, or none."""
    for kind in ("latents", "posterior", "prior", "objective", "sampler"):
        register(kind, "other", "elsewhere:Other")


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("name", NON_DEFAULTS)
def test_option_of_the_command_line_sets_its_field(name):
    typed, value = NON_DEFAULTS[name]
    needs = {
        "hidden_sizes": "--arch=dense",
        "warmup_steps": "--learning-rate-schedule=cosine",
        "activation": "--arch=dense",
        "sigma": "--likelihood=gaussian",
        "cache_dir": "--dataset=folder",
        "kl_schedule": "--kl-warmup-epochs=2",
        "kl_warmup_epochs": "--kl-schedule=linear",
    }
    options = parse(f"--{name.replace('_', '-')}", *filter(None, [typed, needs.get(name)]))
    assert getattr(options, name) == value


@pytest.mark.parametrize(("kind", "name"), registry.OPTIONS)
def test_options_of_every_part_are_options_of_the_command_line(other_value, kind, name):
    options = registry.resolve(registry.OPTIONS[kind, name])
    values = {option: other_value(field) for option, field in options.model_fields.items()}
    words = [f"--{option.replace('_', '-')}={typed(value)}" for option, value in values.items()]

    assert parse(f"--{kind}={name}", *words).options(options).model_dump() == values


def typed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_what_is_on_by_itself_can_be_left_out():
    assert parse().deterministic
    assert not parse("--no-deterministic").deterministic


@pytest.mark.usefixtures("others")
def test_every_key_of_a_file_sets_its_field(tmp_path):
    values = {name: value for name, (_, value) in NON_DEFAULTS.items()}
    del values["batch_norm_momentum"]  # needs variant=bn
    keys = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    options = parse("--config", yaml_file(tmp_path, yaml.safe_dump(keys)))
    assert {name: getattr(options, name) for name in values} == values


def test_file_wins_over_defaults_and_command_line_over_file(tmp_path):
    file = yaml_file(tmp_path, "latent_dim: 5\nepochs: 6\n")
    options = parse("--config", file, "--epochs", "7")
    assert (options.latent_dim, options.epochs, options.batch_size) == (5, 7, 128)


def test_command_line_wins_over_file_even_with_the_default_value(tmp_path):
    assert parse("--config", yaml_file(tmp_path, "latent_dim: 5\n"), "--latent-dim", "128").latent_dim == 128


def test_empty_file_changes_nothing(tmp_path):
    assert parse("--config", yaml_file(tmp_path, "# nothing\n")).subset(RunConfig) == parse().subset(RunConfig)


def test_exponent_without_a_point_is_a_number_in_a_file(tmp_path):
    assert parse("--config", yaml_file(tmp_path, "learning_rate: 1e-4\n")).learning_rate == 1e-4


def test_value_can_follow_an_equals_sign():
    assert parse("--latent-dim=9").latent_dim == 9


def test_later_option_wins_over_an_earlier_one():
    assert parse("--epochs", "3", "--epochs", "4").epochs == 4


def test_flag_of_a_file_can_be_taken_back(tmp_path):
    file = yaml_file(tmp_path, "overwrite: true\n")
    assert parse("--config", file).overwrite
    assert not parse("--config", file, "--no-overwrite").overwrite


@pytest.mark.parametrize(("alias", "variant"), [("v1", "plain"), ("v2", "bn")])
def test_alias_of_a_variant_is_read_as_its_name(alias, variant):
    assert parse("--variant", alias).variant == variant


@pytest.mark.parametrize("typed", ["--latent-dims", "--latent_dim", "--latent-dims=5", "--latentdim"])
def test_unknown_option_names_the_nearest(typed):
    with pytest.raises(InputError, match=r"Unknown option '--latent.*Did you mean --latent-dim\?$"):
        parse(typed, "5")


def test_unknown_config_key_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"Unknown config key 'latent_dims'\. Did you mean latent_dim\?$"):
        parse("--config", yaml_file(tmp_path, "latent_dims: 5\n"))


def test_option_of_another_command_is_unknown():
    with pytest.raises(InputError, match="Unknown option '--epochs'"):
        cli.parse(SampleOptions, "python -m vae_tf.sample", ["--run", "x", "--epochs", "3"])


def test_word_without_dashes_is_refused():
    with pytest.raises(InputError, match="Unexpected argument: epochs"):
        parse("epochs", "3")


def test_option_without_its_value_is_named():
    with pytest.raises(InputError, match="--latent-dim"):
        parse("--latent-dim")


def test_file_naming_another_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="config"):
        parse("--config", yaml_file(tmp_path, "config: other.yml\n"))


def test_file_key_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="1"):
        parse("--config", yaml_file(tmp_path, "1: 2\n"))


def test_wrong_value_in_a_file_names_the_key_and_the_value(tmp_path):
    with pytest.raises(InputError, match=r"^latent_dim must be at least 1\. Received: latent_dim=0$"):
        parse("--config", yaml_file(tmp_path, "latent_dim: 0\n"))


@pytest.mark.parametrize("key", ["epochs", "beta"])
def test_truth_value_is_no_number_in_a_file(tmp_path, key):
    with pytest.raises(InputError, match=f"^{key} must not be a boolean"):
        parse("--config", yaml_file(tmp_path, f"{key}: true\n"))


def test_missing_required_option_is_named_as_required():
    with pytest.raises(InputError, match=r"\brun\b.*\b(required|needs?|missing)\b"):
        cli.parse(SampleOptions, "python -m vae_tf.sample", [])


@pytest.mark.parametrize("module", ["vae_tf.train", "vae_tf.sample"])
def test_help_imports_no_tensorflow(module):
    ended = python("-X", "importtime", "-m", module, "--help")
    assert ended.returncode == 0
    assert f"usage: python -m {module}" in ended.stdout
    modules = imported_modules(ended.stderr)
    assert "vae_tf.support.cli" in modules
    assert modules.isdisjoint({"tensorflow", "keras", "matplotlib", "sklearn"})


def test_wrong_argument_imports_no_tensorflow():
    ended = python("-X", "importtime", "-m", "vae_tf.train", "--latent-dim", "0")
    assert ended.returncode == 2
    modules = imported_modules(ended.stderr)
    assert "vae_tf.support.cli" in modules
    assert modules.isdisjoint({"tensorflow", "keras", "matplotlib", "sklearn"})


def run(main, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    cli.run(main, TrainOptions, COMMAND)


def test_success_ends_without_an_exit_status(monkeypatch):
    received = []
    run(received.append, monkeypatch, "--latent-dim", "9")
    assert [options.latent_dim for options in received] == [9]


def test_input_error_ends_with_status_2_and_one_line(monkeypatch, capsys):
    def main(options):
        raise InputError("this can be fixed")

    with pytest.raises(SystemExit) as ended:
        run(main, monkeypatch)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "error: this can be fixed\n")


def test_wrong_argument_ends_with_status_2_before_main_is_called(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        run(lambda options: pytest.fail("main was called"), monkeypatch, "--epochs", "0")
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "error: epochs must be at least 1. Received: epochs=0\n")


def test_error_about_a_value_with_line_breaks_is_one_line(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(print, monkeypatch, "--dataset", "two\nlines")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_ctrl_c_ends_with_status_130_and_one_line(monkeypatch, capsys):
    def main(options):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run(main, monkeypatch)
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "error: interrupted\n")


def test_fault_of_the_program_is_not_hidden(monkeypatch):
    def main(options):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(main, monkeypatch)


@pytest.mark.slow
def test_loading_tensorflow_is_silent_and_gives_stderr_back():
    code = f"import sys; {LOADS}; print('after', file=sys.stderr)"
    ended = python("-c", code + "; print('tensorflow' in sys.modules)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "True\n", "after\n")


def test_what_a_failing_import_of_tensorflow_wrote_is_shown(tmp_path):
    broken = "import os\nos.write(2, b'no libcuda here\\n')\nraise ImportError('broken')\n"
    (tmp_path / "tensorflow.py").write_text(broken)
    ended = python("-c", LOADS, path=tmp_path)
    assert ended.returncode == 1
    assert "no libcuda here" in ended.stderr
    assert "ImportError: broken" in ended.stderr


def test_a_reader_of_the_pipe_that_has_gone_ends_the_command_quietly():
    program = (
        "from vae_tf.support import cli; from vae_tf.config import RunConfig; import sys\n"
        "sys.argv = ['x']\n"
        "cli.run(lambda options: [print('line', flush=True) for _ in range(100_000)], RunConfig, 'x')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(vae_tf.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_what_the_terminal_can_not_show_is_printed_as_its_escapes(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "argv", ["train.py"])

    cli.run(lambda _: print("größe \udcff"), TrainOptions, COMMAND)

    terminal.flush()
    assert terminal.buffer.getvalue() == b"gr\\xf6\\xdfe \\udcff\n"


def test_sigterm_ends_as_ctrl_c_does_with_a_status_of_its_own(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as ended:
        cli.run(lambda _: os.kill(os.getpid(), signal.SIGTERM), TrainOptions, COMMAND)

    assert (ended.value.code, capsys.readouterr().err) == (143, "error: interrupted\n")
    assert signal.getsignal(signal.SIGTERM) == before
