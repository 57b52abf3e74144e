"""Every kind of run through every command: conditional, restoring, of points, of a likelihood for 8-bit pixels."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from vae_tf import compare, evaluate, sample, train
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli

NUM_CLASSES = 3
KINDS = {
    "conditional": ["--conditional"],
    "restoring": ["--corrupt", "mask:0.5"],
    "both": ["--conditional", "--corrupt", "gaussian:0.3", "--likelihood", "learned_gaussian"],
    "mixture": ["--likelihood", "logistic_mixture"],
    "mixed": ["--precision", "mixed_bfloat16", "--ema", "0.9"],
    "moons": ["--dataset", "moons"],
    "moons_beta": ["--dataset", "moons", "--beta", "0.5"],
    "blobs": ["--dataset", "blobs", "--conditional"],
}
OF_POINTS = ("moons", "moons_beta", "blobs")


def call(command, *words):
    options = next(value for name, value in vars(command).items() if name == f"{command.__name__[7:].title()}Options")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["command", *map(str, words)])
        cli.run(command.main, options, command.COMMAND)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    labels = np.arange(240) % NUM_CLASSES
    noise = np.random.default_rng(0).integers(0, 60, (240, 8, 8))
    pictures = (noise + 90 * labels[:, None, None]).astype(np.uint8)
    np.savez(
        folder / "data.npz", x_train=pictures[:150], y_train=labels[:150], x_test=pictures[150:], y_test=labels[150:]
    )
    for name, words in KINDS.items():
        data = [] if name in OF_POINTS else ["--dataset", "npz", "--data-dir", folder / "data.npz", "--arch", "dense"]
        call(train, *data, *words, "--hidden-sizes", "16", "--latent-dim", 2, "--epochs", 2, "--run-dir", folder / name)
    return folder


@pytest.fixture
def refused(capsys):
    def of(command, *words):
        with pytest.raises(SystemExit) as ended:
            call(command, *words)
        lines = capsys.readouterr().err.splitlines()
        assert (ended.value.code, len(lines)) == (2, 1)
        return lines[0]

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_with_its_pictures(runs, kind):
    for folder in ("samples", *([] if kind in OF_POINTS else ["reconstructions"])):
        with Image.open(runs / kind / folder / "epoch_0002.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_evaluated(runs, kind, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(runs / "cache"))
    call(evaluate, "--run", runs / kind, "--nll-images", 8, "--nll-samples", 20)
    scores = json.loads((runs / kind / "metrics.json").read_text())["metrics"]
    assert scores["elbo"]["unit"] == ("nats per row" if kind in OF_POINTS else "nats per image")
    assert ("sliced_wasserstein" in scores) == (kind in OF_POINTS)
    assert ("psnr_gain" in scores) == (kind in ("restoring", "both"))
    assert ("nll" in scores) == (kind in ("both", "mixture", *OF_POINTS))
    assert (runs / kind / "report.html").stat().st_size > 10_000


def test_a_gain_is_over_what_was_given(runs, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(runs / "cache"))
    call(sample, "--run", runs / "restoring", "--reconstruct", "--num", 90, "--out", runs / "restored.npz")
    call(evaluate, "--run", runs / "restoring", "--nll-images", 8, "--nll-samples", 20)
    with np.load(runs / "restored.npz") as archive:
        errors = {
            name: ((np.clip(archive[name], 0, 1) - archive["originals"]) ** 2).mean(axis=(1, 2, 3))
            for name in ("corrupted", "reconstructions")
        }
    gain = 10 * np.log10(errors["corrupted"] / errors["reconstructions"])
    told = json.loads((runs / "restoring" / "metrics.json").read_text())["metrics"]["psnr_gain"]
    assert told["value"] == pytest.approx(gain.mean(), abs=1e-3)


@pytest.mark.parametrize("what", ["samples", "reconstruct", "interpolate"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_drawn_from(runs, kind, what, tmp_path):
    call(sample, "--run", runs / kind, *([] if what == "samples" else [f"--{what}"]), "--out", tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_compare_takes_conditional_runs_and_refuses_their_likelihoods_beside_others(runs, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(runs / "cache"))
    for kind in ("conditional", "restoring"):
        call(evaluate, "--run", runs / kind, "--nll-images", 8, "--nll-samples", 20)
    call(compare, runs / "conditional", runs / "restoring", "--out", runs / "compared")
    scores = json.loads((runs / "compared" / "compare.json").read_text())["scores"]
    assert scores["elbo"]["refused"] == "different conditioning: on the class and none"
    assert scores["reconstruction_psnr"]["refused"] == "different corruption: none and mask:0.5"
    assert "refused" not in scores["coverage_classifier_npz"]


def test_compare_draws_points(runs, monkeypatch):
    call(compare, runs / "moons", runs / "moons_beta", "--nll-images", 8, "--nll-samples", 20, "--out", runs / "points")
    for name in ("samples", "reconstructions", "curves"):
        with Image.open(runs / "points" / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert "sliced_wasserstein" in (runs / "points" / "compare.md").read_text()


def drawn(runs, kind, *words):
    call(sample, "--run", runs / kind, *words, "--out", runs / "drawn.npz")
    with np.load(runs / "drawn.npz") as archive:
        return dict(archive)


def test_samples_of_a_class(runs):
    arrays = drawn(runs, "conditional", "--label", 2, "--num", 5)
    assert arrays["labels"].tolist() == [2] * 5
    expected = RunDir.open(runs / "conditional").load_model().sample(5, 0, labels=2)
    np.testing.assert_allclose(arrays["samples"], expected, rtol=1e-5)


def test_samples_of_all_classes_are_a_row_each(runs):
    assert drawn(runs, "conditional", "--label", "all", "--num", 4)["labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(drawn(runs, "conditional", "--label", "all")["labels"]) == 8 * NUM_CLASSES


def test_samples_of_points_are_enough_to_see_a_shape(runs):
    assert len(drawn(runs, "moons")["samples"]) == 2_000
    assert len(drawn(runs, "blobs", "--label", "all")["samples"]) == 3 * 500


def test_samples_without_a_label_take_the_classes_in_turn(runs):
    assert drawn(runs, "conditional", "--num", 5)["labels"].tolist() == [0, 1, 2, 0, 1]


def test_ways_stay_in_a_class(runs):
    """Each way of a conditional run leads between the next two test pictures of a class."""
    ways = drawn(runs, "conditional", "--interpolate", "--num", 4)["interpolations"].reshape(4, 10, 8, 8, 1)
    model = RunDir.open(runs / "conditional").load_model()
    with np.load(runs / "data.npz") as data:
        x, y = data["x_test"][..., None] / np.float32(255), data["y_test"]
    for row, label in enumerate([0, 1, 2, 0]):
        first = np.flatnonzero(y == label)[2 * (row // NUM_CLASSES)]
        np.testing.assert_allclose(ways[row, :1], model.reconstruct(x[[first]], y[[first]]), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "words", "reason"),
    [
        ("conditional", ["--label", "3"], "label must be a class of the run, 0 to 2, or all. Received: label=3"),
        ("conditional", ["--label", "cat"], "label must be a class of the run, 0 to 2, or all. Received: label=cat"),
        ("conditional", ["--label", "-1"], "label must be a class of the run"),
        ("mixture", ["--label", "0"], "label needs a run trained with --conditional. Received: label=0"),
        ("conditional", ["--label", "0", "--reconstruct"], "label applies to prior samples"),
    ],
)
def test_a_label_there_is_not_is_told(runs, refused, kind, words, reason):
    assert reason in refused(sample, "--run", runs / kind, f"{words[0]}={words[1]}", *words[2:])


@pytest.mark.parametrize("command", [evaluate, sample])
def test_classes_that_have_changed_since_training_are_told(runs, refused, command, tmp_path):
    with np.load(runs / "data.npz") as data:
        labels = {name: np.where(data[name] == 0, 3, data[name]) for name in ("y_train", "y_test")}
        np.savez(tmp_path / "other.npz", **{**data, **labels})
    words = ["--reconstruct"] if command is sample else []
    reason = refused(command, "--run", runs / "conditional", "--data-dir", tmp_path / "other.npz", *words)
    assert "The data must have the 3 classes that the run was trained with. Received: 4 classes" in reason


def test_conditional_on_data_without_classes_is_told(refused, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((50, 8, 8), np.uint8))
    words = ["--dataset", "npy", "--data-dir", tmp_path / "x.npy", "--conditional", "--run-dir", tmp_path / "run"]
    assert "conditional needs data with a class for each picture" in refused(train, *words)


def test_features_of_pictures_for_points_are_told(runs, refused):
    assert "features=inception needs pictures" in refused(evaluate, "--run", runs / "moons", "--features", "inception")


def test_runs_of_points_and_of_pictures_are_not_compared(runs, refused):
    reason = refused(compare, runs / "moons", runs / "restoring", "--out", runs / "not-compared")
    assert reason == "error: compare takes runs of pictures or runs of points. Received: both; leave some out"


# Classes with names


def animals(folder, names):
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            pixels = (rng.random((8, 8)) * 60 + 90 * number).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def named(runs):
    data = animals(runs / "animals", ["ant", "bee", "cat"])
    words = ["--dataset", "folder", "--data-dir", data, "--image-size", 8, "--channels", 1, "--arch", "dense"]
    call(train, *words, "--conditional", "--hidden-sizes", 16, "--epochs", 1, "--run-dir", runs / "named")
    return runs


def test_training_says_which_number_is_which_class(named, capsys):
    data = named / "animals"
    words = ["--dataset", "folder", "--data-dir", data, "--image-size", 8, "--arch", "dense", "--epochs", 1]
    call(train, *words, "--conditional", "--run-dir", named / "again")
    assert "Classes 3: 0 ant, 1 bee, 2 cat" in capsys.readouterr().out


def test_a_class_is_asked_for_by_its_name(named):
    assert drawn(named, "named", "--label", "bee", "--num", 3)["labels"].tolist() == [1, 1, 1]


def test_a_name_there_is_not_is_told(named, refused):
    reason = refused(sample, "--run", named / "named", "--label", "dog")
    assert "label must be a class of the run, 0 to 2 or one of ant, bee, cat, or all. Received: label=dog" in reason


def test_classes_of_other_names_are_told(named, refused):
    other = animals(named / "others", ["bat", "bee", "cat"])
    reason = refused(sample, "--run", named / "named", "--data-dir", other, "--reconstruct")
    assert "the classes that the run was trained with, ant, bee, cat. Received: bat, bee, cat" in reason


def test_few_pictures_are_evaluated_but_for_their_samples(named, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(named / "cache"))
    call(evaluate, "--run", named / "named", "--nll-images", 2, "--nll-samples", 5)
    assert "warning: Sample scores need more pictures than the 64 features" in capsys.readouterr().err
    metrics = json.loads((named / "named" / "metrics.json").read_text())
    assert "elbo" in metrics["metrics"]
    assert not any("frechet" in name for name in metrics["metrics"])
    assert "What the sample scores mean" not in (named / "named" / "report.html").read_text()


@pytest.mark.parametrize(("text", "reason"), [("[1", "classes.json"), ('["ant"]', "1 names for 3 classes")])
def test_damaged_names_of_classes_are_told(named, refused, tmp_path, text, reason):
    shutil.copytree(named / "named", tmp_path / "damaged")
    (tmp_path / "damaged" / "classes.json").write_text(text)
    assert reason in refused(sample, "--run", tmp_path / "damaged")
