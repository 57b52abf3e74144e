"""Every command of azure/README.md runs, or is marked as needing a subscription and names files that load."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import azure.ai.ml
import numpy as np
import pytest
from azure.ai.ml.entities._load_functions import load_model_batch_deployment

ROOT = Path(__file__).parents[2]
README = (ROOT / "azure" / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```bash( subscription)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LOADERS = {
    "workspace create": azure.ai.ml.load_workspace,
    "compute create": azure.ai.ml.load_compute,
    "data create": azure.ai.ml.load_data,
    "job create": azure.ai.ml.load_job,
    "model create": azure.ai.ml.load_model,
    "online-endpoint create": azure.ai.ml.load_online_endpoint,
    "online-deployment create": azure.ai.ml.load_online_deployment,
    "batch-endpoint create": azure.ai.ml.load_batch_endpoint,
    "batch-deployment create": load_model_batch_deployment,
}
SMALL = "--dataset npz --data-dir tiny.npz --arch dense --epochs 1 --run-dir runs/azure/named-outputs/run"


def commands(*, subscription):
    blocks = [body for mark, body in BLOCK.findall(README) if bool(mark) is subscription]
    return [line for body in blocks for line in body.splitlines() if line]


@pytest.fixture(scope="module")
def workplace(command, tmp_path_factory):
    """The root of a checkout after the download of a run."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("azure", "configs", "vae_tf"):
        (folder / name).symlink_to(ROOT / name)
    images, labels = np.random.default_rng(0).integers(0, 256, (160, 8, 8), np.uint8), np.arange(160) % 2
    np.savez(folder / "tiny.npz", x_train=images[:80], x_test=images[80:], y_train=labels[:80], y_test=labels[80:])
    assert command("train", *SMALL.split(), cwd=folder).status == 0
    return folder


def run(command, line, folder):
    """Runs a line that starts with `python -m vae_tf.` in this process."""
    name, *words = shlex.split(line.removeprefix("python -m vae_tf."))
    return command(name, *words, cwd=folder)


@pytest.mark.parametrize("line", [line for line in commands(subscription=False) if "azure_check" not in line])
def test_command_runs_as_it_stands(command, line, workplace):
    ended = run(command, line, workplace)
    assert ended.status == 0, ended.stderr


def test_check_of_the_folder_finds_nothing(workplace):
    (line,) = [line for line in commands(subscription=False) if "azure_check" in line]
    ended = subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=workplace, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_every_command_of_azure_is_marked():
    assert [line for line in commands(subscription=False) if not line.startswith("python -m vae_tf.")] == []
    assert all(re.match(r"(\w+=\$\()?az |curl ", line) for line in commands(subscription=True))


@pytest.mark.parametrize("command", [line for line in commands(subscription=True) if "--file" in line])
def test_file_of_a_command_loads_with_the_options_given(command, tmp_path):
    words = shlex.split(re.sub(r"^\w+=\$\((.*)\)$", r"\1", command.replace("$PWD", str(tmp_path))))
    options = {}
    for word in words[4:]:
        if word.startswith("--"):
            values = options.setdefault(word, [])
        else:
            values.append(word)
    (file,) = options["--file"]
    load = LOADERS[" ".join(words[2:4])]
    settings = [tuple(setting.split("=", 1)) for setting in options.get("--set", [])]
    overrides = [("path", path) for path in options.get("--path", [])] + settings
    loaded = load(ROOT / file, params_override=[{name: value} for name, value in overrides])
    if "--path" in options:
        assert [str(loaded.path)] == options["--path"]
    for name, value in settings:
        key = name.rpartition(".")[2]
        assert re.search(rf"\b{key}'?: '?{re.escape(value)}['\n]", str(loaded), re.IGNORECASE)


def test_every_file_is_named():
    names = [path.name for path in (ROOT / "azure").glob("*.yml")]
    assert [name for name in names if f"`{name}`" not in README] == []
