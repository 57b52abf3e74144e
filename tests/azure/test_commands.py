"""Each file's command runs for real, with inputs and outputs put in as the service does, and trains as it does here."""

import functools
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from vae_tf.rundir import RunDir

ROOT = Path(__file__).parents[2]
CLOCK = ("seconds", "images_per_second")
TINY = "dataset: folder\nimage_size: 8\narch: dense\nhidden_sizes: [8]\nepochs: 2\nbatch_size: 8\nval_fraction: 0\n"
DRAWN = {"search_space.latent_dim": "16", "search_space.beta": "0.25", "search_space.learning_rate": "0.001"}


def written(name):
    return yaml.safe_load((ROOT / "azure" / f"{name}.yml").read_text())


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A machine with mounted pictures and a tiny configuration."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for index in range(40):
        Image.fromarray(rng.integers(0, 256, (10, 9, 3), np.uint8)).save(folder / "pictures" / f"{index:02}.png")
    (folder / "tiny.yml").write_text(TINY)
    return folder


def run(arguments, folder):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def fill(text, values):
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(values[found[1]]), text)


def as_the_service(command, values):
    """The words of a command with values in the place of its expressions, less the GPU that is not here."""
    words = shlex.split(fill(command, values))
    assert words[0] == "python"
    return [word for word in words[1:] if word != "--require-gpu"]


def succeed(arguments, folder):
    ended = run(arguments, folder)
    assert ended.returncode == 0, ended.stderr
    return ended


def mounted(node, name):
    """An output folder: the service makes it before the command starts."""
    folder = node / name
    folder.mkdir()
    return folder


def inputs(node, **more):
    return {"inputs.config": node / "tiny.yml", "inputs.data": node / "pictures", **more}


def history(folder):
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in RunDir(folder).read_history()]


@pytest.fixture(scope="module")
def trained_here(node):
    """Gives the history of the command that a user types, for its options; each runs once."""

    @functools.cache
    def train(*options):
        run_dir = "here" + "".join(options)
        words = ["--config", "tiny.yml", "--data-dir", "pictures", "--run-dir", run_dir, *options]
        succeed(["-m", "vae_tf.train", *words], node)
        return history(node / run_dir)

    return train


@pytest.mark.parametrize("variant", ["plain", "bn"])
def test_training_gives_the_history_of_the_local_command(node, trained_here, variant):
    run_dir = mounted(node, f"run-{variant}")
    values = inputs(node, **{"inputs.variant": variant, "outputs.run": run_dir})
    succeed(as_the_service(written("train")["command"], values), ROOT)
    assert history(run_dir) == trained_here(f"--variant={variant}")


def test_step_of_the_pipeline_trains_with_the_command_of_the_job():
    assert written("components/train")["command"] == written("train")["command"]


def test_trial_of_the_sweep_gives_the_history_of_the_local_command(node, trained_here):
    run_dir = mounted(node, "trial")
    succeed(
        as_the_service(written("sweep")["trial"]["command"], inputs(node, **DRAWN, **{"outputs.run": run_dir})), ROOT
    )
    assert written("sweep")["objective"]["primary_metric"] in history(run_dir)[0]
    options = ["--latent-dim=16", "--beta=0.25", "--learning-rate=0.001", "--val-fraction=0.1"]
    assert history(run_dir) == trained_here(*options)


def test_job_that_starts_again_takes_its_folder(node):
    """As after the loss of a low-priority node."""
    run_dir = mounted(node, "again")
    words = as_the_service(
        written("train")["command"], inputs(node, **{"inputs.variant": "bn", "outputs.run": run_dir})
    )
    succeed(words, ROOT)
    first = history(run_dir)
    (run_dir / "model.keras").unlink()
    succeed(words, ROOT)
    assert history(run_dir) == first
    assert (run_dir / "model.keras").is_file()


def test_job_stops_where_there_is_no_gpu(node):
    run_dir = mounted(node, "no-gpu")
    values = inputs(node, **{"inputs.variant": "bn", "outputs.run": run_dir})
    ended = run([*as_the_service(written("train")["command"], values), "--require-gpu"], ROOT)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: require_gpu needs a GPU")
    assert list(run_dir.iterdir()) == []


@pytest.mark.skipif(not importlib.util.find_spec("vae_tf.compare"), reason="vae_tf.compare is a change of its own")
def test_steps_of_the_pipeline_run_in_order(node, trained_here):
    pipeline = written("compare-pipeline")
    values = {f"parent.{key}": value for key, value in inputs(node).items()}
    values["parent.outputs.report"] = mounted(node, "report")
    for name, step in pipeline["jobs"].items():
        component = written(str(Path(step["component"]).with_suffix("")))
        own = {f"inputs.{key}": fill(value, values) for key, value in step["inputs"].items()}
        for output in component["outputs"]:
            bound = step["outputs"][output]
            place = fill(bound, values) if isinstance(bound, str) else mounted(node, f"pipeline-{name}")
            own[f"outputs.{output}"] = values[f"parent.jobs.{name}.outputs.{output}"] = place
        succeed(as_the_service(component["command"], own), ROOT)
    for variant in ("plain", "bn"):
        assert history(node / f"pipeline-{variant}") == trained_here(f"--variant={variant}")
    assert (node / "report" / "report.html").stat().st_size > 0
