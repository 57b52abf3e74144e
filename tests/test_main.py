"""All commands under one name."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vae_tf
from vae_tf.__main__ import COMMANDS, main

ROOT = Path(vae_tf.__file__).parents[1]


def run(*words):
    return subprocess.run([sys.executable, "-m", "vae_tf", *words], capture_output=True, text=True)


def test_help_lists_the_commands_without_tensorflow():
    ended = run("--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(f"  {name:12} {description}\n" in ended.stdout for name, description in COMMANDS.items())


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


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_it_by_how_it_was_called(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vae-tf", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: vae-tf {name} ")


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
