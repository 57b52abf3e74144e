"""Every command and every Python block of the README runs, on pictures and epochs made small by options alone."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language):
    return [body for found, body in CODE_BLOCK.findall(README) if found == language]


def commands():
    lines = [line.partition("  #")[0].strip() for body in blocks("bash") for line in body.splitlines()]
    return [line for line in lines if line]


def module_commands(module):
    return [line for line in commands() if line.startswith(f"python -m vae_tf.{module}")]


# What makes each training command small: it replaces or adds options and leaves the rest as it stands.
SMALL_TRAINING = {
    "--dataset folder": "--image-size 8 --epochs 1",
    "--config": "--image-size 8 --epochs 1",
    "--dataset moons": "--epochs 1",
    "": "--dataset npz --data-dir tiny.npz --epochs 1",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    for index in range(24):
        (folder / "my_pictures").mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(folder / "my_pictures" / f"{index}.png")
    pictures = rng.integers(0, 256, (160, 8, 8), np.uint8)
    labels = np.arange(160) % 2
    np.savez(folder / "tiny.npz", x_train=pictures[:80], x_test=pictures[80:], y_train=labels[:80], y_test=labels[80:])
    shutil.copytree(folder / "my_pictures", folder / "cats")
    shutil.copytree(ROOT / "configs", folder / "configs")
    train = "python -m vae_tf.train --dataset npz --data-dir tiny.npz --arch dense --epochs 1"
    run(folder, f"{train} --run-dir runs/x")
    run(folder, f"{train} --run-dir runs/y --variant plain")
    run(folder, f"{train} --run-dir runs/conditional --conditional")
    run(folder, f"{train} --run-dir runs/restore --corrupt mask:0.5")
    return folder


def run(folder, command):
    words = shlex.split(command)
    assert words[0] == "python"
    result = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result


def shrunk(command):
    options = next(small for marker, small in SMALL_TRAINING.items() if marker in command)
    return without(command, options.split()[::2]) + " " + options + " --overwrite" * ("--run-dir" in command)


def without(command, names):
    for name in names:
        command = re.sub(rf" {name} \S+", "", command)
    return command


# Those of several machines run in tests/distribute/.
@pytest.mark.parametrize("command", [line for line in module_commands("train") if "multi_worker" not in line])
def test_training_command_runs(command, workplace):
    result = run(workplace, shrunk(command))
    assert "Test ELBO" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("command", module_commands("sample") + module_commands("encode"))
def test_command_that_writes_a_file_runs_as_it_stands(command, workplace):
    result = run(workplace, command)
    (out,) = re.findall(r"--out (\S+)", command)
    assert result.stdout == f"{out}\n"
    assert (workplace / out).stat().st_size > 0


@pytest.mark.parametrize("command", module_commands("evaluate"))
def test_evaluating_command_runs_as_it_stands(command, workplace):
    assert run(workplace, command).stdout.endswith("report.html\n")


@pytest.mark.parametrize("command", module_commands("compare"))
def test_comparing_command_runs(command, workplace):
    small = " --dataset npz --data-dir tiny.npz --arch dense --epochs 1" if "--variants" in command else ""
    assert run(workplace, command + small).stdout.endswith("compare.json\n")


@pytest.mark.parametrize("command", module_commands("score"))
def test_scoring_command_runs_as_it_stands(command, workplace):
    assert run(workplace, command).stdout == "scores.csv\nscores.png\n"
    assert len((workplace / "scores.csv").read_text().splitlines()) == 1 + 24


def test_python_blocks_run_as_they_stand(workplace):
    for number, body in enumerate(blocks("python")):
        (workplace / f"block_{number}.py").write_text(body)
        run(workplace, f"python block_{number}.py")
    assert (workplace / "vae.keras").is_file()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("train", "-m vae_tf.train --variant bn"),
        ("test", "-m pytest"),
        ("lint", "ruff check"),
        ("audit", "pip-audit --strict"),
    ],
)
def test_make_targets_say_what_they_will_do(target, expected):
    plan = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True)
    assert expected in plan.stdout


def test_no_command_is_left_untested():
    elsewhere = {"make train", "make test", "pip install ."}  # the target test above; test_packaging.py
    tested = {
        line
        for module in ("train", "sample", "encode", "score", "evaluate", "compare")
        for line in module_commands(module)
    }
    assert set(commands()) - tested == elsewhere


def test_every_link_and_picture_is_there():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []
