"""All commands under one name."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vae_tf
from vae_tf.__main__ import COMMANDS, USAGE, main
from vae_tf.registry import resolve
from vae_tf.support import cli

ROOT = Path(vae_tf.__file__).parents[1]
EXAMPLES = {
    "train": ["--variant", "plain", "--epochs", "3"],
    "evaluate": ["--run", "x", "--split", "val"],
    "compare": ["a", "b", "--out", "x"],
    "sample": ["--run", "x", "--reconstruct"],
    "encode": ["--run", "x", "--split", "test"],
    "score": ["--run", "x", "--out", "x.csv"],
    "fit-sampler": ["--run", "x", "--sampler", "gmm", "--sampler-components", "3"],
    "azure-check": ["azure"],
    "completion": ["zsh"],
}


def run(*words):
    return subprocess.run([sys.executable, "-m", "vae_tf", *words], capture_output=True, text=True)


def test_help_lists_the_commands_without_tensorflow():
    ended = run("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(f"  {name:12} {description}\n" in ended.stdout for name, description in COMMANDS.items())


def test_help_and_the_documentation_name_every_exit_status():
    statuses = {0, 1, cli.USAGE_ERROR, cli.INTERRUPTED, cli.TERMINATED, cli.BROKEN_PIPE}
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert {int(number) for number in re.findall(r"\b\d+\b", USAGE.partition("Exit status")[2])} == statuses
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)} == statuses


def test_documentation_has_a_line_for_every_command():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE) == list(COMMANDS)


def started_as_module(name, words, patch):
    patch.setattr(sys, "argv", ["module.py", *words])
    runpy.run_module(f"vae_tf.{name.replace('-', '_')}", run_name="__main__")


def started_by_the_package(name, words, patch):
    patch.setattr(sys, "argv", ["__main__.py", name, *words])
    runpy.run_module("vae_tf", run_name="__main__")


def started_by_the_script(name, words, patch):
    patch.setattr(sys, "argv", ["vae-tf", name, *words])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    resolve(project["scripts"]["vae-tf"])()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # from runpy: other tests import it too
@pytest.mark.parametrize(("name", "words"), EXAMPLES.items())
def test_every_way_to_start_a_command_parses_the_same_options(name, words, monkeypatch):
    parsed = []
    monkeypatch.setattr(cli, "run", lambda main, *known: parsed.append(cli.parse(*known, sys.argv[1:]).model_dump()))

    for start in (started_as_module, started_by_the_package, started_by_the_script):
        start(name, words, monkeypatch)

    assert len(parsed) == 3
    assert parsed[0] == parsed[1] == parsed[2]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # as above
@pytest.mark.parametrize("name", COMMANDS)
def test_every_way_to_start_a_command_prints_the_same_help(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    module = f"vae_tf.{name.replace('-', '_')}"
    # A process of its own: pydantic finds the help texts in the source of the module that is `__main__`.
    words = [sys.executable, "-m", module, "--help"]
    as_module = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for start in (started_by_the_package, started_by_the_script):
        with pytest.raises(SystemExit):
            start(name, ["--help"], monkeypatch)
        printed = capsys.readouterr().out
        assert printed.startswith(f"usage: vae-tf {name} ")
        assert as_module == printed.replace(f"vae-tf {name}", f"python -m {module}", 1)


def test_every_command_has_an_example():
    assert list(EXAMPLES) == list(COMMANDS)


def test_version_is_that_of_the_package_and_imports_nothing_slow():
    words = [sys.executable, "-X", "importtime", "-m", "vae_tf", "--version"]
    ended = subprocess.run(words, capture_output=True, text=True)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}

    assert (ended.returncode, ended.stdout) == (0, f"vae-tf {vae_tf.__version__}\n")
    assert "vae_tf.support.names" in imported
    assert imported.isdisjoint({"tensorflow", "pydantic", "numpy"})


def test_version_is_the_one_that_pip_installs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "vae_tf.__version__"}
    assert "version" in project["project"]["dynamic"]


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory, command):
    ended = command("completion", "bash")
    assert (ended.status, ended.stderr) == (0, "")
    path = tmp_path_factory.mktemp("completion") / "vae-tf.bash"
    path.write_text(ended.stdout)
    return path


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        (["fi"], {"fit-sampler"}),
        (["train", "--latent"], {"--latent-dim", "--latents"}),
        (["train", "--no-j"], {"--no-jit"}),
        (["train", "--sigm"], {"--sigma"}),
        (["train", "--arch", ""], {"conv", "dense"}),
        (["train", "--precision", "mixed"], {"mixed_bfloat16", "mixed_float16"}),
        (["score", "--dataset", "fashion"], {"fashion_mnist", "fashion_mnist_sample"}),
        (["compare", "--variants", ""], {"plain", "bn"}),
        (["sample", "--run", "tes"], {"tests"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes(typed, completions, bash_script):
    call = 'source "$0"; COMP_WORDS=(vae-tf "$@"); COMP_CWORD=$#; _shtab_vae_tf vae-tf "${!#}"; echo "${COMPREPLY[@]}"'
    ended = subprocess.run(["bash", "-c", call, bash_script, *typed], cwd=ROOT, capture_output=True, text=True)

    assert set(ended.stdout.split()) == completions


def test_bash_completes_every_command(bash_script):
    call = 'source "$0"; COMP_WORDS=(vae-tf ""); COMP_CWORD=1; _shtab_vae_tf vae-tf ""; echo "${COMPREPLY[@]}"'
    ended = subprocess.run(["bash", "-c", call, bash_script], capture_output=True, text=True)

    assert ended.stdout.split() == list(COMMANDS)


@pytest.mark.parametrize(("shell", "first_word"), [("zsh", "#compdef vae-tf\n"), ("fish", "# AUTOMATICALLY")])
def test_other_shells_have_scripts_of_their_own(shell, first_word, command):
    script = command("completion", shell).stdout

    assert script.startswith(first_word)
    assert all(name in script for name in (*COMMANDS, "latent-dim", "mixed_bfloat16"))


def test_completion_without_shtab_says_how_to_install_it(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)

    assert (
        "completion needs shtab, which is not installed; run pip install '.[completion]'"
        in command("completion", "bash").error
    )


def test_a_command_may_be_written_as_its_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vae-tf", "fit_sampler", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert "--sampler" in capsys.readouterr().out


def test_an_unknown_command_is_one_line_with_status_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vae-tf", "trian"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: COMMAND must be one of train, ")
    assert line.endswith("Received: trian. Did you mean train?")
