"""The script of the batch deployment, called as its service calls it."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.config import RunConfig
from vae_tf.training.run import run_training

ROOT = Path(__file__).parents[2]
SMALL = {"arch": "dense", "hidden_sizes": (16,), "latent_dim": 2, "epochs": 20, "batch_size": 8, "sample_every": 20}


def save(pixels, path):
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Dark pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    return [save(rng.integers(0, 60, (12, 10)), folder / f"{index:02}.png") for index in range(40)]


@pytest.fixture(scope="module")
def script(pictures, tmp_path_factory):
    """The script after `init`; the registered folder is mounted below the one that the service names."""
    models = tmp_path_factory.mktemp("models")
    config = RunConfig(dataset="folder", data_dir=str(pictures[0].parent), image_size=8, channels=1, **SMALL)
    run_training(config, models / "vae" / "1")
    spec = importlib.util.spec_from_file_location("score_batch", ROOT / "azure" / "score_batch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZUREML_MODEL_DIR", str(models))
        module.init()
    return module


def scores(lines):
    return {path: float(score) for path, score in (line.rsplit(",", 1) for line in lines)}


def test_each_picture_gets_a_line_in_its_order(script, pictures):
    names = [str(path) for path in pictures]
    scored = scores(script.run(names))
    assert list(scored) == names
    assert all(map(math.isfinite, scored.values()))


def test_same_pictures_get_the_same_scores(script, pictures):
    names = [str(path) for path in pictures]
    assert script.run(names) == script.run(names)


def test_picture_unlike_the_others_scores_higher(script, pictures, tmp_path):
    bright = save(np.full((12, 10), 255), tmp_path / "bright.png")
    scored = scores(script.run([str(bright), *map(str, pictures)]))
    assert max(scored, key=scored.get) == str(bright)


def test_file_that_is_no_picture_gets_no_line(script, pictures, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    lines = script.run([str(tmp_path / "notes.txt"), str(pictures[0])])
    assert list(scores(lines)) == [str(pictures[0])]


def test_batch_without_pictures_gets_no_lines(script, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    assert script.run([str(tmp_path / "notes.txt")]) == []
