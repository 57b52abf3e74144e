"""python -m vae_tf.compare, on runs of a second."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.compare import COMMAND, CompareOptions, main
from vae_tf.config import RunConfig
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.report.comparison_page import probe_table, reference_table, sections
from vae_tf.report.evaluation import evaluate_run
from vae_tf.report.experiment import compare_runs
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.training.run import run_training

SMALL = {"dataset": "npz", "arch": "dense", "hidden_sizes": (16,), "latent_dim": 3, "epochs": 1, "batch_size": 32}
RUNS = {
    "plain0": {"variant": "plain"},
    "plain1": {"variant": "plain", "seed": 1},
    "bn0": {},
    "bn1": {"seed": 1},
    "gaussian": {"likelihood": "gaussian"},
}
FILES = {"compare.json", "compare.md", "report.html", "samples.png", "reconstructions.png", "curves.png"}
SETTINGS = EvaluationConfig(nll_images=8, nll_samples=4)
AS_EVALUATED = ("--nll-images", 8, "--nll-samples", 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 4
    pictures = (rng.random((120, 8, 8)) * 120 + 30 * labels[:, None, None]).astype(np.uint8)
    np.savez(folder / "tiny.npz", x_train=pictures, y_train=labels, x_test=pictures[:80], y_test=labels[:80])
    np.savez(folder / "other.npz", x_train=pictures, y_train=labels, x_test=pictures[40:], y_test=labels[40:])
    for name, changes in RUNS.items():
        run_training(RunConfig(**{**SMALL, "data_dir": str(folder / "tiny.npz"), **changes}), folder / name)
    run_training(RunConfig(**{**SMALL, "data_dir": str(folder / "other.npz")}), folder / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name in ("plain0", "bn0", "bn1", "gaussian", "other"):
            evaluate_run(LoadedRun(RunDir(folder / name)), SETTINGS)
    return folder


@pytest.fixture(autouse=True)
def in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.fixture
def compare(monkeypatch):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, words)])
        cli.run(main, CompareOptions, COMMAND)

    return call


@pytest.fixture
def refused(compare, capsys):
    def call(*words):
        with pytest.raises(SystemExit) as ended:
            compare(*words)
        lines = capsys.readouterr().err.splitlines()
        assert ended.value.code == 2
        assert len(lines) == 1
        return lines[0]

    return call


def numbers(out):
    return json.loads((Path(out) / "compare.json").read_text())


def options(*words):
    return cli.parse(CompareOptions, COMMAND, [str(word) for word in words])


def test_runs_of_several_seeds_are_pooled_and_everything_is_written(compare, capsys, tmp_path):
    out = tmp_path / "out"
    compare("plain0", "bn0", "bn1", "--out", out)
    assert {path.name for path in out.iterdir()} == FILES
    assert numbers(out)["groups"] == {"plain": ["plain0"], "bn": ["bn0", "bn1"]}
    elbo = numbers(out)["scores"]["elbo"]
    values = [RunDir(Path(name)).read_metrics()["metrics"]["elbo"]["value"] for name in ("bn0", "bn1")]
    assert elbo["groups"]["bn"]["mean"] == pytest.approx(np.mean(values))
    assert elbo["groups"]["bn"]["seeds_sd"] == pytest.approx(np.std(values, ddof=1))
    printed = capsys.readouterr().out
    assert "bn (2 seeds)" in printed
    assert printed.splitlines()[-1].endswith("compare.json")


def test_page_holds_its_pictures_and_every_score(compare, tmp_path):
    compare("plain0", "bn0", "--out", tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 + 1 + 2 + 2 + 3
    assert page.count(' alt="') == 10
    text = page.replace("<wbr>", "")
    assert [name for name in numbers(tmp_path / "out")["scores"] if name not in text] == []


def test_references_stand_beside_the_scores_that_they_have_too():
    comparison = compare_runs([RunDir(Path("plain0")), RunDir(Path("bn0"))], SETTINGS)
    probe, samples = probe_table(comparison), reference_table(comparison)
    assert probe.header == ["score", "plain", "bn", "pixels", "pca"]
    assert [row[0].text for row in probe.rows] == ["probe_accuracy_latents ↑"]
    assert samples.header[3:] == ["train pictures", "pca gaussian", "pca gaussian mixture", "noise"]
    assert [row[0].text.partition("_")[0] for row in samples.rows] == [
        "frechet",
        "precision",
        "recall",
        "density",
        "coverage",
    ]
    assert all(len(row) == len(table.header) for table in (probe, samples) for row in table.rows)


def test_a_page_of_data_without_classes_has_no_part_about_the_probe():
    comparison = compare_runs([RunDir(Path("plain0")), RunDir(Path("bn0"))], SETTINGS)
    titles = [section.title for section in sections(comparison)]
    for evaluation in comparison.evaluations.values():
        del evaluation.metrics["references"]["pixels"], evaluation.metrics["references"]["pca"]
    probe = "What a linear probe reads from the latents"
    assert [section.title for section in sections(comparison)] == [title for title in titles if title != probe]
    assert probe in titles


def test_sample_grids_come_from_the_same_latents(compare, tmp_path):
    """A copy of a run with another seed in its config draws what the run itself draws."""
    shutil.copytree("bn0", tmp_path / "twin")
    config = RunDir(tmp_path / "twin").read_config()
    RunDir(tmp_path / "twin").write_config(config.model_copy(update={"seed": 7, "beta": 3.0}))
    compare("bn0", tmp_path / "twin", "--out", tmp_path / "out")
    drawn = np.asarray(Image.open(tmp_path / "out" / "samples.png").convert("L"))[40:]
    half = drawn.shape[1] // 2
    assert drawn[:, :half].std() > 0
    np.testing.assert_array_equal(drawn[:, : half - 15], drawn[:, half + 15 :])


def test_a_run_is_evaluated_where_it_was_not_or_not_as_asked(compare, capsys, tmp_path):
    shutil.copytree("bn0", tmp_path / "bare", ignore=shutil.ignore_patterns("metrics.json"))
    shutil.copytree("plain0", tmp_path / "otherwise")
    compare("plain1", tmp_path / "bare", tmp_path / "otherwise", "--nll-images", 9, "--out", tmp_path / "out")
    evaluated = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Evaluating")]
    assert len(evaluated) == 3
    assert RunDir(tmp_path / "otherwise").read_metrics()["settings"]["nll_images"] == 9


def test_an_evaluated_run_is_taken_as_it_is(compare, capsys, tmp_path):
    before = Path("bn0/metrics.json").stat().st_mtime_ns
    compare("plain0", "bn0", "--out", tmp_path / "out", "--nll-images", 8)
    assert "Evaluating" not in capsys.readouterr().out
    assert Path("bn0/metrics.json").stat().st_mtime_ns == before


def test_what_depends_on_the_likelihood_is_refused_with_the_reason(compare, capsys, tmp_path):
    compare("bn0", "gaussian", "--out", tmp_path / "out")
    scores = numbers(tmp_path / "out")["scores"]
    assert scores["elbo"] == {"unit": "nats per image", "refused": "different likelihoods: bernoulli and gaussian"}
    assert "winner" in scores["reconstruction_mse"]
    assert not (tmp_path / "out" / "curves.png").exists()
    printed = capsys.readouterr().out
    assert "Not compared: elbo, reconstruction_loss" in printed
    assert "(different likelihoods: bernoulli and gaussian)." in printed


def test_pictures_that_moved_are_found_by_data_dir(compare, refused, tmp_path):
    for name in ("plain0", "bn0"):
        shutil.copytree(name, tmp_path / name)
        config = RunDir(tmp_path / name).read_config()
        RunDir(tmp_path / name).write_config(config.model_copy(update={"data_dir": "gone.npz"}))
    runs = (tmp_path / "plain0", tmp_path / "bn0", "--out", tmp_path / "out")
    assert "gone.npz" in refused(*runs)
    compare(*runs, "--data-dir", "tiny.npz")
    assert numbers(tmp_path / "out")["scores"]["elbo"]["groups"]


def test_nothing_is_compared_on_different_pictures_and_each_shows_its_own(compare, tmp_path):
    compare("bn0", "other", "--out", tmp_path / "out")
    assert {"refused"} == {key for score in numbers(tmp_path / "out")["scores"].values() for key in score} - {"unit"}
    assert Image.open(tmp_path / "out" / "reconstructions.png").height == 4 * (40 + 72)


TRAININGS = (
    "--variants", "plain", "bn", "--seeds", 0, "--dataset", "npz", "--data-dir", "tiny.npz", "--arch", "dense",
    "--hidden-sizes", "16", "--latent-dim", 3, "--epochs", 1, "--batch-size", 32,
)  # fmt: skip


def test_variants_are_trained_as_the_training_command_does(compare, tmp_path):
    compare(*TRAININGS, *AS_EVALUATED, "--out", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"runs"}
    assert losses(tmp_path / "runs" / "plain-seed0") == losses("plain0")
    assert losses(tmp_path / "runs" / "bn-seed0") == losses("bn0")


def losses(path):
    return [row["loss"] for row in RunDir(Path(path)).read_history()]


def test_variants_go_on_where_they_stopped(compare, capsys, tmp_path):
    for name in ("plain0", "bn0", "bn1"):
        shutil.copytree(name, tmp_path / "runs" / f"{name[:-1]}-seed{name[-1]}")
    (tmp_path / "runs" / "bn-seed0" / "model.keras").unlink()
    compare(*TRAININGS, "--out", tmp_path)
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("Training")] == ["Training 2 of 2: bn, seed 0"]
    assert [line for line in printed if line.startswith("Evaluating")] == [f"Evaluating {tmp_path}/runs/bn-seed0"]
    assert numbers(tmp_path)["groups"]["bn"] == [f"{tmp_path}/runs/bn-seed0"]


def test_variants_refuse_a_folder_with_other_trainings(refused, tmp_path):
    shutil.copytree("bn0", tmp_path / "runs" / "bn-seed0")
    line = refused(*TRAININGS, "--latent-dim", 4, "--out", tmp_path)
    assert "bn-seed0 with latent_dim=3, not 4; choose another --out" in line
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"bn-seed0"}


def test_variant_and_seed_of_a_config_file_give_way(tmp_path):
    (tmp_path / "c.yml").write_text("variant: bn\nseed: 5\nepochs: 3\n")
    trainings = options("--variants", "v1", "v2", "--out", "x", "--config", tmp_path / "c.yml").trainings()
    assert list(trainings) == ["plain-seed5", "bn-seed5"]
    assert [config.epochs for config in trainings.values()] == [3, 3]


@pytest.mark.parametrize("written", [("--seeds", 0, 1, 2), ("--seeds", "0,1,2"), ("--seeds", 0, "--seeds", 1, 2)])
def test_lists_are_written_with_spaces_or_commas(written):
    assert options("--variants", "bn", *written, "--out", "x").seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Received: neither"),
        (("bn0", "--variants", "bn"), "Received: both"),
        (("bn0",), "two run folders or more. Received: bn0"),
        (("bn0", "plain0", "--epochs", 3), "epochs is for trainings"),
        (("bn0", "plain0", "--seeds", 3), "seeds is for trainings"),
        (("--variants", "v3"), "variant must be one of plain, bn, v1, v2"),
        (("--variants", "bn", "--seeds", "-1"), "seeds must be at least 0"),
    ],
)
def test_what_makes_no_comparison_is_refused(words, told):
    with pytest.raises(InputError) as error:
        options(*words, "--out", "x")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("bn0", "absent"), "as train writes it. Received: absent (there is no such folder)"),
        (("bn0", "unfinished"), "run must be finished. Received: unfinished"),
        (("bn0", "../{}/bn0"), "equal in both; leave one out"),
    ],
)
def test_runs_that_can_not_be_compared_are_refused_before_anything_is_written(refused, folder, tmp_path, words, told):
    Path("unfinished").mkdir(exist_ok=True)
    shutil.copy("bn0/config.yml", "unfinished")
    assert told in refused(*(word.format(folder.name) for word in words), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [("bn0", "plain0"), TRAININGS])
def test_an_existing_folder_is_refused_and_left_as_it_is(refused, tmp_path, words):
    (tmp_path / "mine.txt").write_text("mine")
    assert f"out must be new or empty. Received: {tmp_path}" in refused(*words, "--out", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt"}


@pytest.mark.parametrize("name", ["metrics.json", "per_image.npz", "history.csv"])
def test_a_damaged_file_of_an_evaluated_run_is_named(compare, refused, tmp_path, name):
    compare("plain0", "bn0", "--out", tmp_path / "out")
    shutil.copytree("bn0", tmp_path / "bn0")
    (tmp_path / "bn0" / name).write_bytes(b"PK\x03\x04 half a file")
    assert f"{name} must be as" in refused("plain0", tmp_path / "bn0", "--out", tmp_path / "two")
