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
def images(tmp_path_factory):
    """Dark images."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    return [save(rng.integers(0, 60, (12, 10)), folder / f"{index:02}.png") for index in range(40)]


@pytest.fixture(scope="module")
def script(images, tmp_path_factory):
    """The script after `init`; the registered folder is mounted below the one that the service names."""
    models = tmp_path_factory.mktemp("models")
    config = RunConfig(dataset="folder", data_dir=str(images[0].parent), image_size=8, channels=1, **SMALL)
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


def test_each_image_gets_a_line_in_its_order(script, images):
    names = [str(path) for path in images]
    scored = scores(script.run(names))
    assert list(scored) == names
    assert all(map(math.isfinite, scored.values()))


def test_same_images_get_the_same_scores(script, images):
    names = [str(path) for path in images]
    assert script.run(names) == script.run(names)


def test_image_unlike_the_others_scores_higher(script, images, tmp_path):
    bright = save(np.full((12, 10), 255), tmp_path / "bright.png")
    scored = scores(script.run([str(bright), *map(str, images)]))
    assert max(scored, key=scored.get) == str(bright)


def test_file_that_is_no_image_gets_no_line(script, images, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    lines = script.run([str(tmp_path / "notes.txt"), str(images[0])])
    assert list(scores(lines)) == [str(images[0])]


def test_batch_without_images_gets_no_lines(script, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert script.run([str(tmp_path / "notes.txt")]) == []


def test_images_are_cropped_as_the_run_was_trained(script, images, tmp_path):
    with Image.open(images[0]) as image:
        middle = np.asarray(image)[1:11]  # 10x10 of 12x10
    bands = np.full((10, 30), 255)
    bands[:, 10:20] = middle
    one, other = save(middle, tmp_path / "middle.png"), save(bands, tmp_path / "wide.png")
    first, second = (scores(script.run([str(path)]))[str(path)] for path in (one, other))
    # Scaled down, the edge pixels take in a little of the white next to them; stretched, all of them would.
    stretched = save(np.asarray(Image.fromarray(bands.astype(np.uint8)).resize((10, 10))), tmp_path / "stretched.png")
    third = scores(script.run([str(stretched)]))[str(stretched)]
    assert abs(second - first) < 0.2 * abs(third - first)
