"""The score command: a table and a figure of what does not belong."""

import csv
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.config import RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.metrics import anomaly
from vae_tf.metrics.anomaly import likelihood_regret, mahalanobis
from vae_tf.metrics.elbo import elbo_per_image
from vae_tf.runs.new_run import create_run_dir
from vae_tf.runs.run_dir import RunDir

HEIGHT, WIDTH = 8, 10
NUM_TRAIN, NUM_TEST = 150, 90


def typical(count: int) -> np.ndarray:
    """Images of one brightness, as those that the shared runs are trained on, uint8 `(N, 8, 10)`."""
    return np.random.default_rng(3).integers(0, 76, (count, HEIGHT, WIDTH)).astype(np.uint8) + np.uint8(90)


def halved(count: int) -> np.ndarray:
    """Images that are dark on the left and bright on the right, uint8 `(N, 8, 10)`."""
    images = np.random.default_rng(4).integers(0, 40, (count, HEIGHT, WIDTH)).astype(np.uint8)
    images[:, :, WIDTH // 2 :] += np.uint8(210)
    return images


def pixels(images: np.ndarray) -> np.ndarray:
    """Images `(N, H, W)` as the model takes them."""
    return images[..., np.newaxis].astype(np.float32) / 255


@pytest.fixture(scope="module")
def run(trained):
    return RunDir(trained("bn").path)


@pytest.fixture(scope="module")
def model(run):
    return run.load_model()


@pytest.fixture(scope="module")
def x_test(images):
    with np.load(images / "images.npz") as archive:
        return pixels(archive["x_test"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data that the run does not know."""
    folder = tmp_path_factory.mktemp("score")
    np.save(folder / "halved.npy", halved(5))
    np.save(folder / "mixed.npy", np.concatenate([typical(15), halved(15)]))
    (folder / "files" / "deep").mkdir(parents=True)
    for name, image in (("b.png", typical(1)[0]), ("deep/c.png", halved(1)[0]), ("a.png", typical(2)[1])):
        grey = Image.fromarray(image)
        grey.resize((30, 16), Image.Resampling.NEAREST).convert("RGB").save(folder / "files" / name)
    return folder


@pytest.fixture
def table(command, trained, tmp_path):
    """Calls the command and returns the rows it wrote."""

    def call(*words: object, run: str = "bn") -> list[dict[str, str]]:
        out = tmp_path / "new" / "scores.csv"
        ended = command("score", "--run", trained(run).path, "--out", out, *words)
        assert (ended.status, ended.stderr) == (0, "")
        with out.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return call


@pytest.fixture(scope="module")
def scored(rendered_figures, command, run, tmp_path_factory):
    """The file that the command writes by default, and how it ended."""
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    out = tmp_path_factory.mktemp("scored") / "new" / "scores.csv"
    ended = command("score", "--run", run.path, "--out", out)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    return out, ended


@pytest.fixture(scope="module")
def rows(scored):
    with scored[0].open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def refused(command, run, tmp_path):
    """Calls the command and returns the line with which it refuses; nothing is written."""

    def call(*words: object, path: Path = run.path) -> str:
        ended = command("score", "--run", path, "--out", tmp_path / "no.csv", *words)
        assert ended.stdout == ""
        assert ended.error.startswith("error: ")
        assert not (tmp_path / "no.csv").exists()
        return ended.error

    return call


def column(rows: list[dict[str, str]], name: str = "anomaly_score") -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def test_default_is_the_runs_own_test_split(rows):
    columns = ["row", "split", "elbo", "reconstruction_loss", "kl_loss", "anomaly_score", "percentile"]
    assert list(rows[0]) == columns
    assert [(row["row"], row["split"]) for row in rows] == [(str(n), "test") for n in range(NUM_TEST)]


def test_columns_are_nats_of_each_image(rows, model, x_test):
    losses = column(rows, "reconstruction_loss") + column(rows, "kl_loss")
    np.testing.assert_allclose(column(rows, "elbo"), -losses, atol=2e-4)
    np.testing.assert_allclose(losses, elbo_per_image(model, [x_test], 0).negative_elbo, rtol=1e-4)


def test_score_is_the_distance_to_training_images(rows, run, model, x_test):
    # Few enough that all are the reference; the validation part, 15 of them, is not.
    train = load_splits(run.read_config()).train
    reference = pixels(train.read(np.arange(len(train)))[..., 0])
    assert len(reference) == NUM_TRAIN - 15
    np.testing.assert_allclose(column(rows), mahalanobis(model, [x_test], [reference], 0), rtol=1e-3)


@pytest.fixture
def without_data(run, tmp_path):
    """A run whose data can't be found any more."""
    shutil.copytree(run.path, tmp_path / "run")
    moved = run.read_config().model_copy(update={"data_dir": str(tmp_path / "gone.npz")})
    RunDir(tmp_path / "run").write_config(moved)
    return tmp_path / "run"


def test_training_images_that_have_gone_are_needed(refused, without_data, place):
    words = ("--dataset", "npy", "--data-dir", place / "halved.npy")
    line = refused(*words, path=without_data)
    assert "needs the images that the run was trained on" in line
    assert "gone.npz" in line
    assert "use --score likelihood_regret" in line


def test_regret_has_no_percentiles_without_the_runs_own_data(command, without_data, place, tmp_path):
    words = ("--dataset", "npy", "--data-dir", place / "halved.npy", "--score", "likelihood_regret")
    out = tmp_path / "s.csv"
    ended = command("score", "--run", without_data, *words, "--out", out)
    assert ended.status == 0
    assert ended.stderr == f"warning: {out} has no percentiles, because the run's own data can't be read\n"
    header = out.read_text().splitlines()[0]
    assert header == "row,split,elbo,reconstruction_loss,kl_loss,anomaly_score"


def test_threshold_needs_the_runs_own_data(refused, without_data, place):
    words = ("--dataset", "npy", "--data-dir", place / "halved.npy", "--score", "likelihood_regret")
    line = refused(*words, "--threshold", 0.9, path=without_data)
    assert "threshold needs the validation images of the run" in line
    assert "gone.npz" in line
    assert "omit --threshold" in line


@pytest.mark.parametrize("score", ["mahalanobis", pytest.param("likelihood_regret", marks=pytest.mark.slow)])
def test_percentile_compares_with_images_that_were_not_trained_on(table, run, model, x_test, score):
    splits = load_splits(run.read_config())
    train, val = (pixels(part.read(np.arange(len(part)))[..., 0]) for part in (splits.train, splits.val))
    # Both scores are computed from the training part alone; the validation images come behind those to score.
    scores = getattr(anomaly, score)(model, [x_test, val], [train], 0)
    lower = (scores[NUM_TEST:] < scores[:NUM_TEST, np.newaxis]).sum(axis=1)
    assert len(val) == 15
    assert len(set(lower)) > 5
    np.testing.assert_allclose(column(table("--score", score), "percentile"), 100 * lower / 15, atol=1e-4)


def test_threshold_marks_the_anomalies_and_counts_them(command, run, place, tmp_path):
    out = tmp_path / "scores.csv"
    words = ("--dataset", "npy", "--data-dir", place / "mixed.npy", "--threshold", 0.9375)
    ended = command("score", "--run", run.path, *words, "--out", out)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # 15 of 16 ranks are up to the highest of 15 validation scores, so that one is the threshold.
    assert [row["is_anomaly"] for row in rows] == [str(float(row["percentile"]) == 100) for row in rows]
    assert [row["is_anomaly"] for row in rows[15:]] == ["True"] * 15
    count = sum(row["is_anomaly"] == "True" for row in rows)
    assert ended.stdout.splitlines()[-1] == (
        f"{count} of 30 images are above the threshold; expected false-alarm rate 6.25%, "
        "estimated from 15 validation images"
    )


def test_false_alarms_on_test_examples_are_as_frequent_as_expected(command, trained, tmp_path):
    ended = command("score", "--run", trained("moons").path, "--threshold", 0.9, "--out", tmp_path / "scores.csv")
    counted = re.match(
        r"(\d+) of 2,000 rows .* false-alarm rate 10%, estimated from 1,000 validation rows",
        ended.stdout.splitlines()[1],
    )
    # Standard deviations: sqrt(2000 * 0.1 * 0.9) = 13 for the count, and 2000 * sqrt(0.1 * 0.9 / 1002) = 19 for the
    # threshold, together 23; three of them.
    assert int(counted[1]) == pytest.approx(200, abs=70)


def test_too_few_validation_images_for_a_threshold_are_refused(refused):
    assert refused("--threshold", 0.99).endswith(
        "threshold=0.99 needs at least 99 validation images. Received: 15; choose a lower threshold, or train the run "
        "again with a larger --val-fraction"
    )


def test_run_without_validation_images_gets_no_percentiles_and_no_threshold(command, refused, trained, tmp_path):
    run = trained("binary").path
    ended = command("score", "--run", run, "--out", tmp_path / "scores.csv")
    assert ended.stderr == (
        f"warning: {tmp_path / 'scores.csv'} has no percentiles, because the run has no validation images\n"
    )
    assert (tmp_path / "scores.csv").read_text().splitlines()[0].endswith(",anomaly_score")
    assert refused("--threshold", 0.9, path=run).endswith(
        "threshold needs images that the run was not trained on, its validation images. Received: a run with "
        "val_fraction=0; omit --threshold, or train the run again with --val-fraction 0.1"
    )


def test_images_of_another_kind_score_higher(table, place):
    scores = column(table("--dataset", "npy", "--data-dir", place / "mixed.npy"))
    assert scores[:15].max() < scores[15:].min()


def test_other_data_is_taken_whole(table, images):
    rows = table("--data-dir", images / "images.npz")
    assert [row["split"] for row in rows] == ["train"] * NUM_TRAIN + ["test"] * NUM_TEST
    assert [row["row"] for row in rows] == [*map(str, range(NUM_TRAIN)), *map(str, range(NUM_TEST))]


def test_test_split_of_other_data_names_the_rows_it_was_drawn_from(table, place):
    args = ("--dataset", "npy", "--data-dir", place / "mixed.npy")
    whole, drawn = table(*args), table(*args, "--split", "test")
    assert len(drawn) == 6
    for row in drawn:
        twin = whole[int(row["row"])]
        # The KL of an image does not depend on what is drawn.
        assert float(row["kl_loss"]) == pytest.approx(float(twin["kl_loss"]), rel=1e-4)


def test_all_of_the_own_data_can_be_asked_for(table):
    assert len(table("--split", "all")) == NUM_TRAIN + NUM_TEST


def test_files_are_named_and_brought_to_the_runs_size_and_channels(table, place):
    files = place / "files"
    rows = table("--dataset", "folder", "--data-dir", files)
    assert [row["file"] for row in rows] == [str(files / name) for name in ("a.png", "b.png", "deep/c.png")]
    assert {row["split"] for row in rows} == {"all"}
    assert column(rows).argmax() == 2


@pytest.mark.slow
def test_score_can_be_the_likelihood_regret(table, model, place):
    rows = table("--dataset", "npy", "--data-dir", place / "halved.npy", "--score", "likelihood_regret", "--seed", 3)
    expected = likelihood_regret(model, [pixels(halved(5))], [], 3)
    np.testing.assert_allclose(column(rows), expected, rtol=1e-3, atol=1e-3)


def test_conditional_run_scores_labelled_data(table):
    assert len(table(run="conditional")) == NUM_TEST


def test_contact_sheet_shows_the_highest_and_the_lowest_scores(scored):
    out, ended = scored
    assert ended == (0, f"{out}\n{out.with_suffix('.png')}\n", "")
    with Image.open(out.with_suffix(".png")) as sheet:
        height_of_images = 2 * 8 * HEIGHT
        assert sheet.width == 8 * (10 * (WIDTH + 2) - 2)
        assert height_of_images < sheet.height < height_of_images + 150


def test_rows_of_features_have_scores_and_no_figure(table, tmp_path):
    assert len(table(run="moons")) == 2000
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.csv"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dataset", "folder"], "dataset=folder needs data_dir"),
        (["--dataset", "npz", "--data-dir", "nowhere.npz"], "Received: nowhere.npz"),
        (["--dataset", "minst"], "Did you mean mnist?"),
        (["--dataset", "moons"], "Received: dataset=moons with (2,)"),
        (["--score", "elbo"], "score must be one of mahalanobis, likelihood_regret. Received: score=elbo"),
        (["--split", "val"], "split must be one of"),
        (["--threshold", "1"], "threshold must be less than 1"),
        (["--out", "scores.txt"], "out must end in .csv. Received: out=scores.txt"),
    ],
)
def test_bad_input_is_one_line(refused, words, expected):
    assert expected in refused(*words)


def test_folder_that_can_not_be_made_is_refused(refused, place):
    out = place / "mixed.npy" / "scores.csv"
    assert f"out must be a writable file. Received: {out}" in refused("--out", out)


def test_run_that_has_not_finished_is_refused(refused, tmp_path):
    create_run_dir(tmp_path / "run", overwrite=False).write_config(RunConfig())
    assert "model.keras" in refused(path=tmp_path / "run")


def test_conditional_run_needs_labels(refused, trained, place):
    line = refused("--dataset", "npy", "--data-dir", place / "halved.npy", path=trained("conditional").path)
    assert "A conditional run needs labelled data" in line


def test_conditional_run_knows_its_classes_alone(refused, trained, tmp_path):
    labels = np.array([0, 1, 2, 3])
    np.savez(tmp_path / "four.npz", x_train=halved(4), x_test=halved(4), y_train=labels, y_test=labels)
    line = refused("--data-dir", tmp_path / "four.npz", path=trained("conditional").path)
    assert "must have the 3 classes that the run was trained with. Received: label 3" in line


def test_empty_folder_is_refused(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no images found" in refused("--dataset", "folder", "--data-dir", tmp_path / "empty")


def test_names_with_line_breaks_and_other_bytes_give_a_row_each(table, place, tmp_path):
    names = [b"a\nb.png", b"a\rb.png", b"caf\xe9.png", '猫,".png'.encode()]
    for name in names:
        shutil.copyfile(place / "files" / "a.png", tmp_path / os.fsdecode(name))

    rows = table("--dataset", "folder", "--data-dir", tmp_path)

    expected = [name.decode(errors="surrogateescape").replace("\udce9", r"\udce9") for name in names]
    assert [Path(row["file"]).name for row in rows] == expected
    assert all(float(row["elbo"]) < 0 for row in rows)
