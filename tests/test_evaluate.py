"""python -m vae_tf.evaluate, on runs of a second."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vae_tf
from vae_tf.runs.run_dir import RunDir

SPACE = "classifier_npz"


def metrics_of(run):
    return json.loads((run.path / "metrics.json").read_text())


@pytest.fixture(scope="module")
def grey(evaluated):
    """The evaluated run of a Bernoulli likelihood on pixel intensities."""
    return evaluated("bn")


@pytest.fixture(scope="module")
def results(grey):
    return metrics_of(grey)


@pytest.fixture
def refused(command, tmp_path):
    """Calls the command and returns the line with which it refuses."""
    return lambda run, *words: command("evaluate", "--run", run, *words, cwd=tmp_path).error


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


def test_the_elbo_and_its_terms_are_estimated_with_one_sample(results):
    counts = {name: results["metrics"][name]["num_samples"] for name in ("elbo", "reconstruction_loss", "kl_loss")}
    assert set(counts.values()) == {1}


def test_kl_per_dimension_adds_up_to_the_kl_loss(results):
    assert sum(results["kl_per_dimension"]["values"]) == pytest.approx(results["metrics"]["kl_loss"]["value"], rel=1e-3)


def test_a_bernoulli_decoder_on_grey_values_has_no_nll(results):
    scores = results["metrics"]
    assert "not an NLL" in scores["cross_entropy_bound"]["note"]
    assert not {"nll", "bits_per_dim"} & set(scores)


@pytest.mark.parametrize("kind", [pytest.param("binary", marks=pytest.mark.slow), "gaussian"])
def test_a_likelihood_of_the_data_has_an_nll_and_bits_per_dimension(evaluated, kind):
    scores = metrics_of(evaluated(kind))["metrics"]
    assert "cross_entropy_bound" not in scores
    assert scores["bits_per_dim"]["value"] == pytest.approx(scores["nll"]["value"] / (80 * np.log(2)))


@pytest.mark.parametrize("kind", [pytest.param("binary", marks=pytest.mark.slow), "gaussian"])
def test_nll_is_below_minus_the_elbo_of_the_same_images(evaluated, kind):
    values = RunDir(evaluated(kind).path).read_per_image()
    gaps = -values["elbo"][:20] - values["nll"]
    assert gaps.mean() > 0


def test_a_conditional_run_is_evaluated_with_the_classes(evaluated, images):
    run = RunDir(evaluated("conditional").path)
    metrics = run.read_metrics()["metrics"]
    assert "class_left_in_latents" in metrics
    assert "probe_accuracy_latents" not in metrics
    with np.load(images / "images.npz") as data:
        x, y = data["x_test"][..., np.newaxis].astype(np.float32) / 255, data["y_test"]
    error = ((run.load_model().reconstruct(x, y) - x) ** 2).mean()
    assert metrics["reconstruction_mse"]["value"] == pytest.approx(error, rel=1e-5)


def test_every_row_of_sample_quality_has_the_same_sizes(results):
    rows = [results["metrics"], *results["references"].values()]
    sizes = {(s["num_examples"], s["num_samples"]) for row in rows for name, s in row.items() if "frechet" in name}
    assert sizes == {(90, 150)}
    assert {name for name, row in results["references"].items() if f"precision_{SPACE}" in row} == {
        "train_pictures",
        "noise",
        "pca_gaussian",
        "pca_gaussian_mixture",
    }


def test_probe_of_the_latents_has_those_of_pixels_and_components_as_references(results):
    name = "probe_accuracy_latents"
    probes = {row: scores[name] for row, scores in results["references"].items() if name in scores}
    assert set(probes) == {"pixels", "pca"}
    for score in (results["metrics"][name], *probes.values()):
        assert score["num_examples"] == 90
        assert score["note"] == "logistic regression on 150 training examples"
    assert probes["pixels"]["value"] > 0.9  # the classes differ by their brightness alone


def test_real_images_are_nearer_to_real_ones_than_noise_is(results):
    references = results["references"]
    name = f"frechet_distance_{SPACE}"
    assert references["train_pictures"][name]["value"] < references["noise"][name]["value"]


def test_command_as_a_process_is_silent_on_stderr_and_repeats_the_numbers(grey, evaluation, tmp_path):
    shutil.copytree(grey.path, tmp_path / "bn", ignore=shutil.ignore_patterns("metrics.json"))
    ended = subprocess.run(
        [sys.executable, "-m", "vae_tf.evaluate", "--run", "bn", *map(str, evaluation)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(vae_tf.__file__).resolve().parents[1])},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "bn" / "metrics.json").read_text() == (grey.path / "metrics.json").read_text()
    assert (tmp_path / "bn" / "model.keras").read_bytes() == (grey.path / "model.keras").read_bytes()


def test_table_names_every_score_and_ends_with_the_files(grey, results):
    lines = grey.stdout.splitlines()
    assert "20 images with 20 samples each: about" in lines[0]
    assert [name for name in results["metrics"] if not any(line.startswith(name) for line in lines)] == []
    assert lines[-2:] == [str(grey.path / name) for name in ("metrics.json", "report.html")]


def test_page_of_the_run_shows_its_figures_and_scores(grey, results):
    page = (grey.path / "report.html").read_text().replace("<wbr>", "")
    assert page.count("data:image/png;base64,") == 1 + 1 + 1 + 1 + 3
    assert [name for name in results["metrics"] if name not in page] == []


def test_values_of_every_image_are_what_the_scores_are_means_of(grey, results):
    per_image = RunDir(grey.path).read_per_image()
    assert {"elbo", "cross_entropy_bound", "reconstruction_ssim"} <= set(per_image)
    for name, values in per_image.items():
        assert values.mean() == pytest.approx(results["metrics"][name]["value"])
        assert len(values) == results["metrics"][name]["num_examples"]


def test_runs_of_other_seeds_are_measured_on_the_same_images_with_the_same_features(results, evaluated):
    other = metrics_of(evaluated("bn_seed1"))
    assert other["metrics"] != results["metrics"]
    assert other["pictures_sha256"] == results["pictures_sha256"]
    assert other["references"] == results["references"]


@pytest.fixture(scope="module")
def few(made_once, command, trained):
    """A run evaluated on 15 images, and what the command wrote to stderr."""

    def make(folder):
        shutil.copytree(trained("gaussian").path, folder / "run")
        words = ("--split", "val", "--nll-images", 4, "--nll-samples", 5)
        (folder / "stderr.txt").write_text(command("evaluate", "--run", folder / "run", *words).stderr)

    return made_once("evaluated_on_few_images", make)


def test_fewer_images_than_features_leave_the_sample_scores_out_with_a_warning(few):
    scores = RunDir(few / "run").read_metrics()["metrics"]
    assert {"elbo", "nll", "reconstruction_ssim", "probe_accuracy_latents"} <= set(scores)
    assert not any("frechet" in name or "recall" in name for name in scores)
    (warning,) = (few / "stderr.txt").read_text().splitlines()
    assert "Sample metrics need more images than the classifier feature space has dimensions (64)." in warning
    assert warning.startswith("warning: ")
    assert warning.endswith("; sample metrics are skipped")


def test_page_without_sample_scores_does_not_explain_them(few, grey):
    title = "Sample metrics: reference values"
    assert title not in (few / "run" / "report.html").read_text()
    assert title in (grey.path / "report.html").read_text()


def test_metrics_are_written_last(command, trained, tmp_path, monkeypatch):
    """An evaluation that is interrupted in its report is none."""

    def interrupted(*args):
        raise KeyboardInterrupt

    shutil.copytree(trained("bn").path, tmp_path / "run")
    monkeypatch.setattr(RunDir, "write_report", interrupted)
    words = ("--split", "val", "--nll-images", 4, "--nll-samples", 5)
    assert command("evaluate", "--run", tmp_path / "run", *words).status == 130
    assert not RunDir(tmp_path / "run").is_evaluated


def test_a_split_the_data_does_not_have_is_refused(refused, trained):
    assert "--split test" in refused(trained("binary").path, "--split", "val")


def test_a_folder_that_is_no_run_is_refused(refused):
    assert "must be a run folder" in refused("absent")


def test_an_unfinished_run_is_refused(refused, trained, tmp_path):
    (tmp_path / "unfinished").mkdir()
    shutil.copy(trained("bn").path / "config.yml", tmp_path / "unfinished")
    assert "must be finished" in refused("unfinished")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "", "config.yml is incomplete: image_size or channels is missing"),
        (
            lambda text: text.replace("image_size: 8x10", "image_size: 9x10"),
            "examples of shape (9, 10, 1) and a model for shape (8, 10, 1)",
        ),
    ],
    ids=["empty", "other-size"],
)
def test_a_config_that_is_not_that_of_the_run_is_refused(refused, trained, tmp_path, change, reason):
    shutil.copytree(trained("bn").path, tmp_path / "run")
    config = tmp_path / "run" / "config.yml"
    config.write_text(change(config.read_text()))
    assert reason in refused("run")


def test_a_damaged_model_is_refused(refused, trained, tmp_path):
    shutil.copytree(trained("bn").path, tmp_path / "run")
    model = tmp_path / "run" / "model.keras"
    model.write_bytes(model.read_bytes()[:500])
    assert "is damaged, or not a vae_tf model (truncated" in refused("run")
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_evaluate_run_returns_what_the_command_writes(trained, evaluation, evaluated, tmp_path):
    run = vae_tf.load_run(shutil.copytree(trained("bn").path, tmp_path / "run"))
    result = vae_tf.evaluate_run(run, nll_images=20, nll_samples=20, seed=5)
    expected = RunDir(evaluated("bn").path).read_metrics()
    assert result.metrics["metrics"] == expected["metrics"]
    assert run.folder.read_metrics()["metrics"] == expected["metrics"]
