"""Every kind of run through every command: conditional, restoring, of points, of a likelihood for 8-bit pixels."""

import shutil

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.report import run_figures
from vae_tf.report.comparison_page import as_json
from vae_tf.report.experiment import compare_runs
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir

NUM_CLASSES = 3
SLOW = ("both", "restoring", "moons", "mixture")
KINDS = ("conditional", "blobs", *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW))
OF_POINTS = ("moons", "blobs")


@pytest.fixture
def refused(command):
    """Calls a command and returns the line with which it refuses."""
    return lambda *words: command(*words).error


@pytest.fixture
def drawn(command, trained, tmp_path):
    """Calls `sample` and returns the arrays it wrote."""

    def call(kind, *words):
        ended = command("sample", "--run", trained(kind).path, *words, "--out", tmp_path / "drawn.npz")
        assert ended.status == 0
        with np.load(tmp_path / "drawn.npz") as archive:
            return dict(archive)

    return call


def contrast(figure):
    """The standard deviation of the pixel intensities of an image."""
    return np.asarray(figure.convert("L")).std()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_with_its_figures(trained, kind):
    for folder in ("samples", *([] if kind in OF_POINTS else ["reconstructions"])):
        with Image.open(trained(kind).path / folder / "epoch_0002.png") as figure:
            assert contrast(figure) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_evaluated(evaluated, kind):
    run = RunDir(evaluated(kind).path)
    scores = run.read_metrics()["metrics"]
    assert scores["elbo"]["unit"] == ("nats per row" if kind in OF_POINTS else "nats per image")
    assert ("sliced_wasserstein" in scores) == (kind in OF_POINTS)
    assert ("psnr_gain" in scores) == (kind in ("restoring", "both"))
    assert ("nll" in scores) == (kind in ("both", "mixture", *OF_POINTS))
    assert run.report_path.stat().st_size > 10_000


@pytest.mark.slow
def test_a_gain_is_over_what_was_given(evaluated, drawn):
    arrays = drawn("restoring", "--reconstruct", "--num", 90)
    errors = {
        name: ((np.clip(arrays[name], 0, 1) - arrays["originals"]) ** 2).mean(axis=(1, 2, 3))
        for name in ("corrupted", "reconstructions")
    }
    gain = 10 * np.log10(errors["corrupted"] / errors["reconstructions"])
    measured = RunDir(evaluated("restoring").path).read_metrics()["metrics"]["psnr_gain"]
    assert measured["value"] == pytest.approx(gain.mean(), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_drawn_from(trained, kind):
    run = LoadedRun(RunDir(trained(kind).path))
    for draw in (run_figures.samples, run_figures.reconstructions, run_figures.interpolations):
        canvas = FigureCanvasAgg(draw(run).figure)
        canvas.draw()
        assert contrast(Image.fromarray(np.asarray(canvas.buffer_rgba()))) > 5


def test_conditional_runs_are_compared_but_for_likelihoods_of_others(evaluated):
    folders = [RunDir(evaluated(kind).path) for kind in ("conditional", "restoring")]
    scores = as_json(compare_runs(folders, EvaluationConfig(nll_images=20)))["scores"]
    assert scores["elbo"]["refused"] == "different conditioning: on the class and none"
    assert scores["reconstruction_psnr"]["refused"] == "different corruption: none and mask:0.5"
    assert "refused" not in scores["coverage_classifier_npz"]


@pytest.mark.slow
def test_compare_draws_points(rendered_figures, command, evaluated, tmp_path):
    shutil.copytree(evaluated("blobs").path, tmp_path / "other")
    config = RunDir(tmp_path / "other").read_config()
    RunDir(tmp_path / "other").write_config(config.model_copy(update={"beta": 0.5}))
    ended = command("compare", evaluated("blobs").path, tmp_path / "other", "--out", tmp_path / "points")
    assert (ended.status, ended.stderr) == (0, "")
    for name in ("samples", "reconstructions", "curves"):
        with Image.open(tmp_path / "points" / f"{name}.png") as figure:
            assert contrast(figure) > 5
    assert "sliced_wasserstein" in (tmp_path / "points" / "compare.md").read_text()


def test_samples_of_a_class(drawn, trained):
    arrays = drawn("conditional", "--label", 2, "--num", 5)
    assert arrays["labels"].tolist() == [2] * 5
    expected = RunDir(trained("conditional").path).load_model().sample(5, 0, labels=2)
    np.testing.assert_allclose(arrays["samples"], expected, rtol=1e-5)


def test_samples_of_all_classes_are_a_row_each(drawn):
    assert drawn("conditional", "--label", "all", "--num", 4)["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(drawn("conditional", "--label", "all")["labels"]) == 8 * NUM_CLASSES


@pytest.mark.slow
def test_samples_of_points_are_enough_to_see_a_shape(drawn):
    assert len(drawn("moons")["samples"]) == 2_000
    assert len(drawn("blobs", "--label", "all")["samples"]) == 3 * 500


def test_samples_without_a_label_take_the_classes_in_turn(drawn):
    assert drawn("conditional", "--num", 5)["labels"].tolist() == [0, 1, 2, 0, 1]


def test_interpolations_stay_in_a_class(drawn, trained, images):
    """Each path of a conditional run leads between the next two test images of a class."""
    paths = drawn("conditional", "--interpolate", "--num", 4)["interpolations"].reshape(4, 10, 8, 10, 1)
    model = RunDir(trained("conditional").path).load_model()
    with np.load(images / "images.npz") as data:
        x, y = data["x_test"][..., None] / np.float32(255), data["y_test"]
    for row, label in enumerate([0, 1, 2, 0]):
        first = np.flatnonzero(y == label)[2 * (row // NUM_CLASSES)]
        np.testing.assert_allclose(paths[row, :1], model.reconstruct(x[[first]], y[[first]]), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "words", "reason"),
    [
        ("conditional", ["--label=3"], "label must be a class of the run, 0 to 2, or all. Received: label=3"),
        ("conditional", ["--label=cat"], "label must be a class of the run, 0 to 2, or all. Received: label=cat"),
        ("conditional", ["--label=-1"], "label must be a class of the run"),
        ("mixture", ["--label=0"], "label needs a run trained with --conditional. Received: label=0"),
        ("conditional", ["--label=0", "--reconstruct"], "label applies only to samples"),
    ],
)
def test_a_label_that_the_run_does_not_have_is_refused(trained, refused, kind, words, reason):
    assert reason in refused("sample", "--run", trained(kind).path, *words)


@pytest.mark.parametrize("words", [["evaluate"], ["sample", "--reconstruct"]])
def test_classes_that_have_changed_since_training_are_refused(trained, refused, images, words, tmp_path):
    with np.load(images / "images.npz") as data:
        labels = {name: np.where(data[name] == 0, 3, data[name]) for name in ("y_train", "y_test")}
        np.savez(tmp_path / "other.npz", **{**data, **labels})
    reason = refused(*words, "--run", trained("conditional").path, "--data-dir", tmp_path / "other.npz")
    assert "The data must have the 3 classes that the run was trained with. Received: 4 classes" in reason


def test_conditional_on_data_without_classes_is_refused(refused, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((50, 8, 8), np.uint8))
    words = ["--dataset", "npy", "--data-dir", tmp_path / "x.npy", "--conditional", "--run-dir", tmp_path / "run"]
    assert "conditional needs labelled data" in refused("train", *words)


def test_features_of_images_for_points_are_refused(trained, refused):
    line = refused("evaluate", "--run", trained("moons").path, "--features", "inception")
    assert "features=inception applies only to images" in line


def test_runs_of_points_and_of_images_are_not_compared(trained, refused, tmp_path):
    line = refused("compare", trained("moons").path, trained("conditional").path, "--out", tmp_path / "not-compared")
    assert line.startswith("error: compare can't mix runs trained on images and runs trained on points. Received: both")


# Classes with names


def animals(folder, names):
    """A folder for each class with images of several sizes."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            pixels = (rng.random((8 + index % 4, 12)) * 60 + 90 * number).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def named(made_once, command):
    """A folder with images of animals and a conditional run on them, and what its training printed."""

    def make(folder):
        animals(folder / "animals", ["ant", "bee", "cat"])
        words = ["--dataset", "folder", "--data-dir", "animals", "--image-size", "8x10", "--channels", 1]
        words += ["--arch", "dense", "--conditional", "--hidden-sizes", 16, "--epochs", 1, "--run-dir", "run"]
        ended = command("train", *words, cwd=folder)
        (folder / "stdout.txt").write_text(ended.stdout)

    return made_once("named_classes", make)


def test_a_folder_of_images_trains_at_the_size_asked_for(named):
    assert RunDir(named / "run").load_model().decoder.output_shape == (None, 8, 10, 1)


def test_training_says_which_number_is_which_class(named):
    assert "Classes 3: 0 ant, 1 bee, 2 cat\n" in (named / "stdout.txt").read_text()


def test_a_class_is_asked_for_by_its_name(named):
    labels = run_figures.samples(LoadedRun(RunDir(named / "run")), 3, "bee").arrays["labels"]
    assert labels.tolist() == [1, 1, 1]


def test_a_class_name_that_the_run_does_not_have_is_refused(named, refused):
    reason = refused("sample", "--run", named / "run", "--label", "dog")
    assert "label must be a class of the run, 0 to 2 or one of ant, bee, cat, or all. Received: label=dog" in reason


def test_classes_of_other_names_are_refused(named, refused, tmp_path):
    other = animals(tmp_path / "others", ["bat", "bee", "cat"])
    reason = refused("sample", "--run", named / "run", "--data-dir", other, "--reconstruct")
    assert "the classes that the run was trained with, ant, bee, cat. Received: bat, bee, cat" in reason


@pytest.mark.parametrize(("text", "reason"), [("[1", "classes.json"), ('["ant"]', "1 names for 3 classes")])
def test_damaged_names_of_classes_are_refused(named, refused, tmp_path, text, reason):
    shutil.copytree(named / "run", tmp_path / "damaged")
    (tmp_path / "damaged" / "classes.json").write_text(text)
    assert reason in refused("sample", "--run", tmp_path / "damaged")
