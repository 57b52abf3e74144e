"""Each file's command runs for real, with inputs and outputs put in as the service does, and trains as it does here."""

import contextlib
import functools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from PIL import Image

from vae_tf.runs.run_dir import RunDir

ROOT = Path(__file__).parents[2]
CLOCK = ("seconds", "images_per_second")
TINY = "dataset: folder\nimage_size: 8\narch: dense\nhidden_sizes: [8]\nepochs: 2\nbatch_size: 32\nval_fraction: 0\n"
DRAWN = {"search_space.latent_dim": "16", "search_space.beta": "0.25", "search_space.learning_rate": "0.001"}


def written(name):
    return yaml.safe_load((ROOT / "azure" / f"{name}.yml").read_text())


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A machine with mounted images, enough to be judged by, and a tiny configuration."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for index in range(330):
        Image.fromarray(rng.integers(0, 256, (10, 9, 3), np.uint8)).save(folder / "images" / f"{index:03}.png")
    (folder / "tiny.yml").write_text(TINY)
    return folder


def fill(text, values):
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(values[found[1]]), text)


def environment(**variables):
    """That of a machine without a GPU."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT), **variables}


def shell(command, folder, **variables):
    """Runs a command in bash."""
    run = ["bash", "-c", command]
    return subprocess.run(run, cwd=folder, env=environment(**variables), capture_output=True, text=True)


def run_as_the_service(command, values):
    """Runs a command with values in the place of its expressions, but for the GPU that is not here."""
    succeed(fill(command, values).replace("--require-gpu", ""), ROOT)


def succeed(command, folder):
    ended = shell(command, folder)
    assert ended.returncode == 0, ended.stderr


def mounted(node, name):
    """An output folder: the service makes it before the command starts."""
    folder = node / name
    folder.mkdir()
    return folder


def inputs(node, **more):
    return {"inputs.config": node / "tiny.yml", "inputs.data": node / "images", **more}


def outputs(node, name):
    """Names and folders of what a training puts out."""
    return {"outputs.run": mounted(node, name), "outputs.checkpoints": mounted(node, f"{name}-checkpoints")}


def history(folder):
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in RunDir(folder).read_history()]


@pytest.fixture(scope="module")
def trained_here(node):
    """Gives the history of the command that a user types, for its options; each runs once."""

    @functools.cache
    def train(*options):
        run_dir = "here" + "".join(options)
        fixed = f"--config tiny.yml --data-dir images --run-dir {run_dir}"
        succeed(f"python -m vae_tf.train {fixed} {' '.join(options)}", node)
        return history(node / run_dir)

    return train


@pytest.mark.parametrize("variant", ["plain", "bn"])
@pytest.mark.slow
def test_training_gives_the_history_of_the_local_command(node, trained_here, variant):
    folders = outputs(node, f"run-{variant}")
    run_as_the_service(written("train")["command"], inputs(node, **{"inputs.variant": variant, **folders}))
    assert history(folders["outputs.run"]) == trained_here(f"--variant={variant}")


@pytest.mark.slow
def test_two_nodes_give_the_history_of_the_local_command(node, trained_here):
    folders, ports = outputs(node, "distributed"), free_ports(2)
    job = inputs(node, **{"inputs.variant": "bn", **folders})
    command = fill(written("train-distributed")["command"], job).replace("--require-gpu", "")
    with ThreadPoolExecutor() as nodes:
        ended = list(nodes.map(lambda index: shell(command, ROOT, TF_CONFIG=of_service(ports, index)), range(2)))

    assert [worker.returncode for worker in ended] == [0, 0], ended
    assert ended[1].stdout == f"Worker 1 (127.0.0.1:{ports[1]}) of 2, CPU\n"
    for row, expected in zip(history(folders["outputs.run"]), trained_here("--variant=bn"), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def of_service(ports, index):
    """The variable that the service sets on a node."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports], "ps": []}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}, "environment": "cloud"})


@pytest.mark.slow
def test_node_without_the_other_stops_in_time(node):
    folders = outputs(node, "alone")
    values = inputs(node, **{"inputs.variant": "bn", **folders})
    command = fill(written("train-distributed")["command"], values).replace("--require-gpu", "").replace("900", "1")
    ended = shell(command, ROOT, TF_CONFIG=of_service(free_ports(2), 0))
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: Every worker listed in TF_CONFIG must start within 1 s.")
    assert list(folders["outputs.run"].iterdir()) == []


@pytest.mark.slow
def test_trial_of_the_sweep_gives_the_history_of_the_local_command(node, trained_here):
    folders = outputs(node, "trial")
    run_as_the_service(written("sweep")["trial"]["command"], inputs(node, **DRAWN, **folders))
    run_dir = folders["outputs.run"]
    assert written("sweep")["objective"]["primary_metric"] in history(run_dir)[0]
    options = ["--latent-dim=16", "--beta=0.25", "--learning-rate=0.001", "--val-fraction=0.1"]
    assert history(run_dir) == trained_here(*options)


def killed_once_saved(command, values):
    """Starts a command as the service does, and takes its machine away after its first checkpoint."""
    node = subprocess.Popen(
        ["bash", "-c", fill(command, values).replace("--require-gpu", "")],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        process_group=0,
    )
    while not list(values["outputs.checkpoints"].glob("step_*")) and node.poll() is None:
        time.sleep(0.05)
    assert node.poll() is None
    os.killpg(node.pid, signal.SIGKILL)
    node.wait()


@pytest.mark.slow
def test_job_whose_node_is_taken_away_goes_on_to_the_history_of_the_local_command(node, trained_here):
    (node / "longer.yml").write_text(TINY.replace("epochs: 2", "epochs: 5"))
    folders = outputs(node, "again")
    values = inputs(node, **{"inputs.variant": "bn", **folders}) | {"inputs.config": node / "longer.yml"}
    killed_once_saved(written("train")["command"], values)
    assert not (folders["outputs.run"] / "model.keras").exists()
    # The next node has the images at another place.
    values["inputs.data"] = (node / "images").rename(node / "images-again")
    ended = shell(fill(written("train")["command"], values).replace("--require-gpu", ""), ROOT)
    values["inputs.data"].rename(node / "images")
    assert ended.returncode == 0, ended.stderr
    assert "Resumed after step " in ended.stdout
    assert history(folders["outputs.run"]) == trained_here("--variant=bn", "--epochs=5")


@pytest.mark.parametrize("name", ["train", "components/train"])
@pytest.mark.slow
def test_job_that_starts_again_after_its_training_ended_has_nothing_to_train(node, name):
    folders = outputs(node, f"ended-{Path(name).parent.name}")
    values = inputs(node, **{"inputs.variant": "bn", **folders})
    run_as_the_service(written(name)["command"], values)
    model = (folders["outputs.run"] / "model.keras").read_bytes()
    run_as_the_service(written(name)["command"], values)
    assert (folders["outputs.run"] / "model.keras").read_bytes() == model


def test_job_stops_where_there_is_no_gpu(command, node, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    folders = outputs(node, "no-gpu")
    values = inputs(node, **{"inputs.variant": "bn", **folders})
    line = fill(written("train")["command"], values).strip()
    assert line.startswith("python -m vae_tf.train ")
    assert command("train", *shlex.split(line)[3:]).error.startswith("error: require_gpu needs a GPU")
    assert list(folders["outputs.run"].iterdir()) == []


@pytest.mark.slow
def test_steps_of_the_pipeline_run_in_order(node, trained_here):
    known = {"parent.inputs.config": node / "tiny.yml", "parent.outputs.report": mounted(node, "report")}
    for name, step in written("compare-pipeline")["jobs"].items():
        # Each step has the images at a place of its own, which is gone with its node.
        known["parent.inputs.data"] = (node / "images").rename(node / f"images-of-{name}")
        component = written(Path(step["component"]).with_suffix(""))
        known |= {f"parent.jobs.{name}.outputs.run": mounted(node, name)} if "run" in step["outputs"] else {}
        values = {f"inputs.{key}": fill(value, known) for key, value in step["inputs"].items()}
        values["outputs.run"] = known.get(f"parent.jobs.{name}.outputs.run")
        values["outputs.checkpoints"] = mounted(node, f"{name}-checkpoints")
        values["outputs.report"] = known["parent.outputs.report"]
        run_as_the_service(component["command"], values)
        known["parent.inputs.data"].rename(node / "images")
    for variant in ("plain", "bn"):
        assert history(node / variant) == trained_here(f"--variant={variant}")
    assert "plain" in (node / "report" / "compare.md").read_text()
    assert (node / "report" / "report.html").is_file()
