"""python -m vae_tf.compare, on runs of a second."""

import json
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

import vae_tf
from vae_tf.compare import COMMAND, CompareOptions
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.report import evaluation as evaluation_module
from vae_tf.report.comparison import create_view, load_evaluation
from vae_tf.report.comparison_page import as_json, probe_table, reference_table, sections
from vae_tf.report.experiment import compare_runs, train_missing
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.support.errors import InputError

FILES = {"compare.json", "compare.md", "report.html", "samples.png", "reconstructions.png", "curves.png"}
AS_EVALUATED = EvaluationConfig(nll_images=20, nll_samples=20)


@pytest.fixture(scope="module")
def pooled(made_once, command, evaluated):
    """What the command writes and prints of three evaluated runs, two of which differ by their seed alone."""

    def make(folder):
        runs = [evaluated(kind).path for kind in ("plain", "bn", "bn_seed1")]
        before = [(run / "metrics.json").stat().st_mtime_ns for run in runs]
        ended = command("compare", *runs, "--nll-images", 20, "--out", folder / "out")
        assert (ended.status, ended.stderr) == (0, "")
        assert [(run / "metrics.json").stat().st_mtime_ns for run in runs] == before
        (folder / "stdout.txt").write_text(ended.stdout)

    return made_once("compared", make)


@pytest.fixture(scope="module")
def comparison(evaluated):
    """Two evaluated runs compared; whoever changes it takes a copy."""
    return compare_runs([RunDir(evaluated(kind).path) for kind in ("plain", "bn")], AS_EVALUATED)


@pytest.fixture
def refused(command, tmp_path):
    """Calls the command and returns the line with which it refuses."""
    return lambda *words: command("compare", *words, cwd=tmp_path).error


@pytest.fixture
def copy_of(evaluated, tmp_path):
    """Returns a copy of an evaluated run whose config is changed, or as it is."""

    def copied(kind, name, **changes):
        run = RunDir(Path(shutil.copytree(evaluated(kind).path, tmp_path / name)))
        if changes:
            run.write_config(run.read_config().model_copy(update=changes))
        return run

    return copied


def numbers(out):
    return json.loads((out / "compare.json").read_text())


def options(*words):
    return cli.parse(CompareOptions, COMMAND, [str(word) for word in words])


def losses(path):
    return [row["loss"] for row in RunDir(path).read_history()]


def test_everything_is_written(pooled):
    assert {path.name for path in (pooled / "out").iterdir()} == FILES
    assert (pooled / "stdout.txt").read_text().splitlines()[-1].endswith("compare.json")


def test_runs_of_several_seeds_are_pooled(pooled, evaluated):
    plain, *seeds = (evaluated(kind).path for kind in ("plain", "bn", "bn_seed1"))
    assert numbers(pooled / "out")["groups"] == {"plain": [str(plain)], "bn": [str(path) for path in seeds]}
    elbo = numbers(pooled / "out")["scores"]["elbo"]
    values = [RunDir(path).read_metrics()["metrics"]["elbo"]["value"] for path in seeds]
    assert elbo["groups"]["bn"]["mean"] == pytest.approx(np.mean(values))
    assert elbo["groups"]["bn"]["seeds_sd"] == pytest.approx(np.std(values, ddof=1))
    assert "bn (2 seeds)" in (pooled / "stdout.txt").read_text()


def test_an_evaluated_run_is_taken_as_it_is(pooled):
    assert "Evaluating" not in (pooled / "stdout.txt").read_text()


def test_page_holds_its_figures_and_every_score(pooled):
    page = (pooled / "out" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 + 1 + 2 + 2 + 3
    assert page.count(' alt="') == 10
    text = page.replace("<wbr>", "")
    assert [name for name in numbers(pooled / "out")["scores"] if name not in text] == []


def test_references_are_in_one_table_with_the_scores_that_they_have_too(comparison):
    probe, samples = probe_table(comparison), reference_table(comparison)
    assert probe.header == ["metric", "plain", "bn", "pixels", "pca"]
    assert [row[0].text for row in probe.rows] == ["probe_accuracy_latents ↑"]
    assert samples.header[3:] == ["train images", "pca gaussian", "pca gaussian mixture", "noise"]
    assert [row[0].text.partition("_")[0] for row in samples.rows] == [
        "frechet",
        "precision",
        "recall",
        "density",
        "coverage",
    ]
    assert all(len(row) == len(table.header) for table in (probe, samples) for row in table.rows)


def test_a_page_of_data_without_classes_has_no_section_about_the_probe(comparison):
    bare = comparison._replace(evaluations=deepcopy(comparison.evaluations))
    for evaluation in bare.evaluations.values():
        del evaluation.metrics["references"]["pixels"], evaluation.metrics["references"]["pca"]
    titles = [section.title for section in sections(comparison)]
    probe = "Linear probe on the latents"
    assert probe in titles
    assert [section.title for section in sections(bare)] == [title for title in titles if title != probe]


def test_sample_grids_come_from_the_same_latents(evaluated, copy_of):
    """A copy of a run with another seed in its config draws what the run itself draws."""
    twin = copy_of("bn", "twin", seed=7, beta=3.0)
    run, other = (create_view(LoadedRun(folder)).samples for folder in (RunDir(evaluated("bn").path), twin))
    assert run.std() > 0
    np.testing.assert_array_equal(run, other)


@pytest.mark.slow
def test_a_run_is_evaluated_if_it_is_not_or_not_as_asked(copy_of, monkeypatch, capsys):
    bare, otherwise, as_asked = copy_of("bn", "bare"), copy_of("plain", "otherwise"), copy_of("gaussian", "as_asked")
    kept = {run.path: load_evaluation(run) for run in (bare, otherwise)}
    bare.metrics_path.unlink()
    metrics = as_asked.metrics_path.read_text()
    as_asked.metrics_path.write_text(metrics.replace('"nll_images": 20', '"nll_images": 9'))
    asked = []

    def evaluate(run, settings):
        asked.append((run.folder.path, settings.nll_images))
        return kept[run.folder.path]

    monkeypatch.setattr(evaluation_module, "evaluate_run", evaluate)
    compare_runs([bare, otherwise, as_asked], EvaluationConfig(nll_images=9))
    assert asked == [(bare.path, 9), (otherwise.path, 9)]
    assert capsys.readouterr().out == f"Evaluating {bare.path}\nEvaluating {otherwise.path}\n"


def test_what_depends_on_the_likelihood_is_refused_with_the_reason(command, evaluated, tmp_path):
    ended = command("compare", evaluated("bn").path, evaluated("gaussian").path, "--out", tmp_path / "out")
    scores = numbers(tmp_path / "out")["scores"]
    assert scores["elbo"] == {"unit": "nats per image", "refused": "different likelihoods: bernoulli and gaussian"}
    assert "winner" in scores["reconstruction_mse"]
    assert not (tmp_path / "out" / "curves.png").exists()
    assert "Not compared: elbo, reconstruction_loss" in ended.stdout
    assert "(different likelihoods: bernoulli and gaussian)." in ended.stdout


def test_data_that_moved_is_found_by_data_dir(command, refused, copy_of, images, tmp_path):
    runs = [copy_of(kind, kind, data_dir="gone.npz").path for kind in ("plain", "bn")]
    assert "gone.npz" in refused(*runs, "--out", tmp_path / "refused")
    command("compare", *runs, "--data-dir", images / "images.npz", "--out", tmp_path / "out")
    assert numbers(tmp_path / "out")["scores"]["elbo"]["groups"]


@pytest.mark.slow
def test_nothing_is_compared_on_different_images_and_each_run_shows_its_own(evaluated):
    folders = [RunDir(evaluated(kind).path) for kind in ("bn", "bn_other_test")]
    comparison = compare_runs(folders, AS_EVALUATED)
    scores = as_json(comparison)["scores"]
    assert {"refused"} == {key for score in scores.values() for key in score} - {"unit"}
    shown = list(comparison.reconstructions)
    assert [label.partition(" of ")[0] for label in shown[0::2]] == ["originals", "originals"]
    assert (comparison.reconstructions[shown[0]] != comparison.reconstructions[shown[2]]).any()


@pytest.fixture(scope="module")
def trainings(of_images):
    """The words with which the command trains what the shared runs are."""
    return ("--variants", "plain", "bn", "--seeds", 0, *of_images)


@pytest.fixture(scope="module")
def completed(made_once, command, trainings, evaluated):
    """What the command makes and prints in a folder that holds one of two trainings, and one that is not asked for."""

    def make(folder):
        shutil.copytree(evaluated("plain").path, folder / "out" / "runs" / "plain-seed0")
        shutil.copytree(evaluated("bn_seed1").path, folder / "out" / "runs" / "bn-seed1")
        ended = command("compare", *trainings, "--nll-images", 20, "--nll-samples", 20, "--out", "out", cwd=folder)
        assert (ended.status, ended.stderr) == (0, "")
        (folder / "stdout.txt").write_text(ended.stdout)

    return made_once("completed_comparison", make)


@pytest.mark.slow
def test_a_missing_variant_is_trained_as_the_training_command_does(completed, trained):
    assert {path.name for path in (completed / "out").iterdir()} == FILES | {"runs"}
    assert losses(completed / "out" / "runs" / "bn-seed0") == losses(trained("bn").path)


@pytest.mark.slow
def test_a_variant_that_is_there_is_neither_trained_nor_evaluated_again(completed):
    lines = (completed / "stdout.txt").read_text().splitlines()
    assert [line for line in lines if line.startswith("Training")] == ["Training 2 of 2: bn, seed 0"]
    assert [line for line in lines if line.startswith("Evaluating")] == ["Evaluating out/runs/bn-seed0"]


@pytest.mark.slow
def test_only_the_variants_asked_for_are_compared(completed):
    assert numbers(completed / "out")["groups"] == {"plain": ["out/runs/plain-seed0"], "bn": ["out/runs/bn-seed0"]}


def test_an_unfinished_training_is_resumed(trained, tmp_path, capsys):
    shutil.copytree(trained("bn").path, tmp_path / "bn-seed0")
    (tmp_path / "bn-seed0" / "model.keras").unlink()
    [run] = train_missing({"bn-seed0": RunDir(trained("bn").path).read_config()}, tmp_path)
    assert "Resumed after step 10 of 10" in capsys.readouterr().out
    assert run.is_finished
    assert losses(run.path) == losses(trained("bn").path)


def test_variants_refuse_a_folder_with_other_trainings(refused, trained, trainings, tmp_path):
    shutil.copytree(trained("bn").path, tmp_path / "runs" / "bn-seed0")
    line = refused(*trainings, "--latent-dim", 4, "--out", tmp_path)
    assert "with latent_dim=3 instead of 4; choose another --out" in line
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"bn-seed0"}


def test_variant_and_seed_of_a_config_file_are_overridden(tmp_path):
    (tmp_path / "c.yml").write_text("variant: bn\nseed: 5\nepochs: 3\n")
    trainings = options("--variants", "v1", "v2", "--out", "x", "--config", tmp_path / "c.yml").training_configs()
    assert list(trainings) == ["plain-seed5", "bn-seed5"]
    assert [config.epochs for config in trainings.values()] == [3, 3]


@pytest.mark.parametrize(
    ("words", "trained_with", "evaluated_with"),
    [
        ((), None, None),
        (("--sampler", "gmm", "--sampler-components", 3), "gmm", None),
        (("--sampler", "prior"), None, "prior"),
    ],
)
def test_variants_are_trained_with_a_sampler_and_evaluated_with_it(words, trained_with, evaluated_with):
    parsed = options("--variants", "bn", *words, "--out", "x")
    [config] = parsed.training_configs().values()
    assert config.sampler == trained_with
    assert getattr(config, "sampler_components", None) == (3 if trained_with else None)
    assert parsed.evaluation_options().sampler == evaluated_with


def test_the_prior_replaces_the_sampler_of_a_config_file(tmp_path):
    (tmp_path / "c.yml").write_text("sampler: gmm\nsampler_components: 3\n")
    parsed = options("--variants", "bn", "--config", tmp_path / "c.yml", "--sampler", "prior", "--out", "x")
    assert parsed.training_configs()["bn-seed0"].sampler is None


@pytest.fixture(scope="module")
def sampler_run(made_once, command, evaluated):
    """The folder of an evaluated run that has been given a sampler, and evaluated again."""

    def make(folder):
        run = shutil.copytree(evaluated("bn").path, folder / "run")
        command("fit_sampler", "--run", run, "--sampler", "gmm", "--sampler-components", 2)
        command("evaluate", "--run", run, "--nll-images", 20, "--nll-samples", 20)

    return made_once("sampler_run", make) / "run"


@pytest.fixture
def with_sampler(sampler_run, tmp_path):
    """A copy of that run."""
    return RunDir(Path(shutil.copytree(sampler_run, tmp_path / "with_sampler")))


@pytest.mark.slow
def test_the_sampler_sets_runs_apart_and_its_samples_are_said_to_be_its(with_sampler, evaluated, command, tmp_path):
    ended = command("compare", with_sampler.path, evaluated("bn").path, "--out", tmp_path / "out")
    assert (ended.status, ended.stderr) == (0, "")
    assert list(numbers(tmp_path / "out")["groups"]) == ["sampler=gmm", "sampler=None"]
    assert f"Samples of {with_sampler.path} come from its gmm sampler" in ended.stdout
    assert "Evaluating" not in ended.stdout


@pytest.mark.slow
def test_a_run_is_evaluated_again_if_its_samples_came_from_elsewhere(with_sampler, evaluated, command, tmp_path):
    words = ("--sampler", "prior", "--nll-images", 20, "--nll-samples", 20)
    ended = command("compare", with_sampler.path, evaluated("plain").path, *words, "--out", tmp_path / "prior")
    assert [line for line in ended.stdout.splitlines() if line.startswith("Eval")] == [
        f"Evaluating {with_sampler.path}"
    ]
    assert list(numbers(tmp_path / "prior")["groups"]) == ["bn", "plain"]
    assert with_sampler.read_metrics()["settings"]["sampler"] == "prior"
    ended = command("compare", with_sampler.path, evaluated("plain").path, *words[2:], "--out", tmp_path / "sampler")
    assert f"Evaluating {with_sampler.path}" in ended.stdout
    assert with_sampler.read_metrics()["settings"]["sampler"] == "gmm"


@pytest.mark.slow
def test_a_damaged_sampler_is_named(refused, evaluated, with_sampler):
    (with_sampler.path / "sampler.keras").write_bytes(b"PK\x03\x04 half a file")
    line = refused(with_sampler.path, evaluated("plain").path, "--out", "out")
    assert "sampler.keras is missing or damaged; run fit_sampler again" in line


@pytest.mark.parametrize("written", [("--seeds", 0, 1, 2), ("--seeds", "0,1,2"), ("--seeds", 0, "--seeds", 1, 2)])
def test_lists_are_written_with_spaces_or_commas(written):
    assert options("--variants", "bn", *written, "--out", "x").seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "Received: neither"),
        (("bn0", "--variants", "bn"), "Received: both"),
        (("bn0",), "at least two run folders. Received: bn0"),
        (("bn0", "plain0", "--epochs", 3), "epochs can only be used with --variants"),
        (("bn0", "plain0", "--sampler", "gmm"), "sampler can only be used with --variants"),
        (("bn0", "plain0", "--sampler", "flow"), "sampler must be one of gmm, prior. Received: sampler=flow"),
        (("bn0", "plain0", "--seeds", 3), "seeds can only be used with --variants"),
        (("--variants", "v3"), "variant must be one of plain, bn, v1, v2"),
        (("--variants", "bn", "--seeds", "-1"), "seeds must be at least 0"),
    ],
)
def test_what_makes_no_comparison_is_refused(words, expected):
    with pytest.raises(InputError) as error:
        options(*words, "--out", "x")
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("absent", "run must be a run folder written by train. Received: absent (no such folder)"),
        ("unfinished", "run must be finished. Received: unfinished"),
        ("../{folder}/bn", "which have the same configuration and seed; leave one out"),
    ],
)
def test_runs_that_can_not_be_compared_are_refused_before_anything_is_written(
    refused, copy_of, tmp_path, other, expected
):
    copy_of("bn", "bn")
    (tmp_path / "unfinished").mkdir()
    shutil.copy(tmp_path / "bn" / "config.yml", tmp_path / "unfinished")
    assert expected in refused("bn", other.format(folder=tmp_path.name), "--out", "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("is_of_variants", [True, False])
def test_an_existing_folder_is_refused_and_left_as_it_is(refused, trained, trainings, tmp_path, is_of_variants):
    (tmp_path / "mine.txt").write_text("mine")
    words = trainings if is_of_variants else (trained("bn").path, trained("plain").path)
    assert f"out must be a new or empty folder. Received: {tmp_path}" in refused(*words, "--out", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine.txt"}


@pytest.mark.parametrize("name", ["metrics.json", "per_image.npz", "history.csv"])
def test_a_damaged_file_of_an_evaluated_run_is_named(refused, evaluated, copy_of, name):
    run = copy_of("bn", "damaged")
    (run.path / name).write_bytes(b"PK\x03\x04 half a file")
    assert f"{name} is missing or damaged; run" in refused(run.path, evaluated("plain").path, "--out", "out")


def test_compare_runs_returns_what_the_command_writes(evaluated, tmp_path):
    runs = [vae_tf.load_run(evaluated("plain").path), evaluated("bn").path]
    result = vae_tf.compare_runs(runs, tmp_path / "out", nll_images=20)
    assert [group.label for group in result.groups] == ["plain", "bn"]
    assert set(numbers(tmp_path / "out")["scores"]) == {row.name for row in result.rows}
