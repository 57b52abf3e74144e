"""python -m vae_tf.evaluate, on a run of a second."""

import json
import shutil
import sys

import numpy as np
import pytest

from vae_tf.config import RunConfig
from vae_tf.evaluate import COMMAND, EvaluateOptions, main
from vae_tf.model.build import build_vae
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.training.run import run_training

SMALL = {"dataset": "npz", "arch": "dense", "hidden_sizes": (16,), "latent_dim": 3, "epochs": 1, "batch_size": 32}
SPACE = "classifier_npz"


def write_npz(path, num_test=90):
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    pictures = (rng.random((200, 8, 8)) * 120 + 30 * labels[:, None, None]).astype(np.uint8)
    np.savez(path, x_train=pictures, y_train=labels, x_test=pictures[:num_test], y_test=labels[:num_test])
    return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    npz = write_npz(folder / "tiny.npz")
    for name, changes in (
        ("grey", {}),
        ("binary", {"binarize": "static", "val_fraction": 0}),
        ("gaussian", {"likelihood": "gaussian", "sigma": 0.2, "variant": "plain"}),
    ):
        run_training(RunConfig(**{**SMALL, "data_dir": npz, **changes}), folder / name)
    return folder


@pytest.fixture
def evaluated(folder, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

    def call(run, *words):
        monkeypatch.setattr(sys, "argv", ["evaluate.py", "--run", str(folder / run), *map(str, words)])
        cli.run(main, EvaluateOptions, COMMAND)
        return json.loads((folder / run / "metrics.json").read_text())

    return call


@pytest.fixture
def refused(evaluated, capsys):
    def call(run, *words):
        with pytest.raises(SystemExit) as ended:
            evaluated(run, *words)
        lines = capsys.readouterr().err.splitlines()
        assert ended.value.code == 2
        assert len(lines) == 1
        return lines[0]

    return call


@pytest.fixture(scope="module")
def results(folder):
    """The evaluation of the grey run with seed 5, which tests read and leave as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        main(EvaluateOptions(run=str(folder / "grey"), nll_images=20, seed=5))
    return json.loads((folder / "grey" / "metrics.json").read_text())


def test_every_number_carries_unit_error_count_and_seed(results):
    rows = [results["metrics"], *results["references"].values()]
    for score in (score for row in rows for score in row.values()):
        assert {"value", "unit", "standard_error", "num_examples", "seed"} <= set(score)
        assert score["seed"] == 5
        assert np.isfinite([score["value"], score["standard_error"]]).all()
    assert results["metrics"]["elbo"]["num_examples"] == 90
    assert results["metrics"]["cross_entropy_bound"]["num_examples"] == 20


def test_elbo_is_minus_its_parts(results):
    scores = {name: score["value"] for name, score in results["metrics"].items()}
    assert scores["elbo"] == pytest.approx(-(scores["reconstruction_loss"] + scores["kl_loss"]))


def test_kl_per_dimension_adds_up_to_the_kl_loss(results):
    assert sum(results["kl_per_dimension"]["values"]) == pytest.approx(results["metrics"]["kl_loss"]["value"], rel=1e-3)


def test_a_bernoulli_decoder_on_grey_values_has_no_nll(results):
    scores = results["metrics"]
    assert "not an NLL" in scores["cross_entropy_bound"]["note"]
    assert not {"nll", "bits_per_dim"} & set(scores)


@pytest.mark.parametrize("run", ["binary", "gaussian"])
def test_a_likelihood_of_the_data_has_an_nll_and_bits_per_dimension(evaluated, run):
    scores = evaluated(run, "--nll-images", 90, "--nll-samples", 60)["metrics"]
    assert "cross_entropy_bound" not in scores
    assert scores["bits_per_dim"]["value"] == pytest.approx(scores["nll"]["value"] / (64 * np.log(2)))
    assert scores["nll"]["value"] < -scores["elbo"]["value"] + 3 * scores["elbo"]["standard_error"]


def test_a_conditional_run_is_told_the_classes(evaluated, folder):
    config = RunDir(folder / "grey").read_config().model_copy(update={"conditional": True})
    shutil.copytree(folder / "grey", folder / "conditional", ignore=shutil.ignore_patterns("metrics.json"))
    run = RunDir(folder / "conditional")
    run.write_config(config)
    model = build_vae((8, 8, 1), 3, "dense", hidden_sizes=(16,), num_classes=4)
    run.save_model(model)
    metrics = evaluated("conditional", "--nll-images", 4)["metrics"]
    assert "class_left_in_latents" in metrics
    assert "probe_accuracy_latents" not in metrics
    with np.load(folder / "tiny.npz") as data:
        pictures, labels = data["x_test"][..., np.newaxis].astype(np.float32) / 255, data["y_test"]
    error = ((model.reconstruct(pictures, labels) - pictures) ** 2).mean()
    assert metrics["reconstruction_mse"]["value"] == pytest.approx(error, rel=1e-5)


def test_every_row_of_sample_quality_has_the_same_sizes(results):
    rows = [results["metrics"], *results["references"].values()]
    sizes = {(s["num_examples"], s["num_samples"]) for row in rows for name, s in row.items() if "frechet" in name}
    assert sizes == {(90, 200)}
    assert {name for name, row in results["references"].items() if f"precision_{SPACE}" in row} == {
        "train_pictures",
        "noise",
        "pca_gaussian",
        "pca_gaussian_mixture",
    }


def test_probe_of_the_latents_stands_beside_those_of_pixels_and_components(results):
    name = "probe_accuracy_latents"
    probes = {row: scores[name] for row, scores in results["references"].items() if name in scores}
    assert set(probes) == {"pixels", "pca"}
    for score in (results["metrics"][name], *probes.values()):
        assert score["num_examples"] == 90
        assert score["note"] == "of logistic regression on 200 training examples"
    assert probes["pixels"]["value"] > 0.9  # the classes differ by their brightness alone


def test_real_pictures_are_nearer_to_real_ones_than_noise_is(results):
    references = results["references"]
    name = f"frechet_distance_{SPACE}"
    assert references["train_pictures"][name]["value"] < references["noise"][name]["value"]


def test_one_seed_gives_one_result_and_leaves_the_model_as_it_was(evaluated, folder):
    before = (folder / "grey" / "model.keras").read_bytes()
    assert evaluated("grey", "--nll-images", 8) == evaluated("grey", "--nll-images", 8)
    assert (folder / "grey" / "model.keras").read_bytes() == before


def test_table_names_every_score_and_ends_with_the_files(evaluated, folder, capsys):
    results = evaluated("grey", "--nll-images", 4)
    lines = capsys.readouterr().out.splitlines()
    assert "4 pictures from 100 samples each: about" in lines[0]
    assert [name for name in results["metrics"] if not any(line.startswith(name) for line in lines)] == []
    assert lines[-2:] == [str(folder / "grey" / name) for name in ("metrics.json", "report.html")]


def test_page_of_the_run_shows_its_pictures_and_scores(results, folder):
    page = (folder / "grey" / "report.html").read_text().replace("<wbr>", "")
    assert page.count("data:image/png;base64,") == 1 + 1 + 1 + 1 + 3
    assert [name for name in results["metrics"] if name not in page] == []


def test_means_are_over_the_pictures_that_are_kept(results, folder):
    run = RunDir(folder / "grey")
    metrics, per_image = run.read_metrics()["metrics"], run.read_per_image()
    assert {"elbo", "cross_entropy_bound", "reconstruction_ssim"} <= set(per_image)
    for name, values in per_image.items():
        assert values.mean() == pytest.approx(metrics[name]["value"])
        assert len(values) == metrics[name]["num_examples"]


def test_seeds_are_judged_on_the_same_pictures_with_the_same_features(results, evaluated, folder):
    run_training(RunConfig(**{**SMALL, "data_dir": str(folder / "tiny.npz"), "seed": 3}), folder / "other_seed")
    other = evaluated("other_seed", "--nll-images", 4, "--seed", 5)
    assert other["pictures_sha256"] == results["pictures_sha256"]
    assert other["references"] == results["references"]


def test_a_split_the_data_does_not_have_is_refused(refused):
    assert "--split test" in refused("binary", "--split", "val")


def test_fewer_pictures_than_features_leave_the_sample_scores_out(evaluated, capsys):
    scores = evaluated("gaussian", "--split", "val", "--nll-images", 4, "--nll-samples", 5)["metrics"]
    assert {"elbo", "nll", "reconstruction_ssim", "probe_accuracy_latents"} <= set(scores)
    assert not any("frechet" in name or "recall" in name for name in scores)
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: Sample scores need more pictures than the 64 features of classifier_npz.")


def test_a_folder_that_is_no_run_is_refused(refused):
    assert "must be a run folder" in refused("absent")


def test_an_unfinished_run_is_refused(refused, folder):
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "config.yml").write_text((folder / "grey" / "config.yml").read_text())
    assert "must be finished" in refused("unfinished")


def test_a_config_that_is_not_that_of_the_run_is_refused(refused, folder):
    shutil.copytree(folder / "grey", folder / "emptied")
    (folder / "emptied" / "config.yml").write_text("")
    assert "config.yml must be as train wrote it" in refused("emptied")
    text = (folder / "grey" / "config.yml").read_text()
    (folder / "emptied" / "config.yml").write_text(text.replace("image_size: 8x8", "image_size: 9x8"))
    assert "examples of (9, 8, 1) and a model for (8, 8, 1)" in refused("emptied")


def test_metrics_are_written_last(evaluated, folder, monkeypatch):
    """An evaluation that is interrupted in its report is none."""

    def interrupted(*args):
        raise KeyboardInterrupt

    shutil.copytree(folder / "binary", folder / "broken_off", ignore=shutil.ignore_patterns("metrics.json"))
    monkeypatch.setattr(RunDir, "write_report", interrupted)
    with pytest.raises(SystemExit):
        evaluated("broken_off", "--nll-images", 4)
    assert not RunDir(folder / "broken_off").is_evaluated


def test_a_damaged_model_is_refused(refused, folder):
    (folder / "damaged").mkdir()
    (folder / "damaged" / "config.yml").write_text((folder / "grey" / "config.yml").read_text())
    (folder / "damaged" / "model.keras").write_bytes((folder / "grey" / "model.keras").read_bytes()[:500])
    assert "undamaged model of this package (it is cut off" in refused("damaged")
    assert not (folder / "damaged" / "metrics.json").exists()
