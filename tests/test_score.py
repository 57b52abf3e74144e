"""The score command: a table and a picture of what does not belong."""

import csv
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.config import RunConfig
from vae_tf.data.catalog import load_splits
from vae_tf.metrics.anomaly import likelihood_regret, mahalanobis
from vae_tf.metrics.elbo import elbo_per_image
from vae_tf.model.build import build_from_config
from vae_tf.runs.run_dir import RunDir
from vae_tf.score import COMMAND, ScoreOptions, _write_table, main
from vae_tf.support import cli
from vae_tf.training.run import run_training

SIDE = 12
NUM_TEST = 30
SMALL = {"arch": "dense", "hidden_sizes": (16,), "latent_dim": 3, "batch_size": 8, "learning_rate": 0.01}


def stripes(count: int, seed: int, upright: bool = True) -> np.ndarray:
    """Pictures that are bright on one half, uint8 `(N, 12, 12)`."""
    pictures = np.random.default_rng(seed).integers(0, 60, (count, SIDE, SIDE), dtype=np.uint8)
    pictures[:, :, : SIDE // 2] += 180
    return pictures if upright else pictures.transpose(0, 2, 1)


def pixels(pictures: np.ndarray) -> np.ndarray:
    """Pictures `(N, H, W)` as the model takes them."""
    return pictures[..., np.newaxis].astype(np.float32) / 255


def untrained(config: RunConfig, shape: tuple[int, ...], num_classes: int | None, folder: Path) -> None:
    """A run as it is before its first update."""
    run = RunDir.create(folder, overwrite=False)
    run.write_config(config.resolved(shape))
    run.save_model(build_from_config(config, shape, 0, num_classes))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run on upright stripes, and other data."""
    folder = tmp_path_factory.mktemp("score")
    labels = np.arange(200) % 2
    np.savez(
        folder / "data.npz",
        x_train=stripes(200, 0),
        x_test=stripes(NUM_TEST, 1),
        y_train=labels,
        y_test=labels[:NUM_TEST],
    )
    config = RunConfig(dataset="npz", data_dir=str(folder / "data.npz"), epochs=4, **SMALL)
    run_training(config, folder / "run")
    untrained(config.model_copy(update={"conditional": True}), (SIDE, SIDE, 1), 2, folder / "conditional")
    untrained(RunConfig(dataset="moons", hidden_sizes=(4,)), (2,), None, folder / "moons")
    np.save(folder / "lying.npy", stripes(5, 2, upright=False))
    np.save(folder / "mixed.npy", np.concatenate([stripes(15, 3), stripes(15, 4, upright=False)]))
    (folder / "pictures" / "deep").mkdir(parents=True)
    for name, upright in (("b.png", True), ("deep/c.png", False), ("a.png", True)):
        grey = Image.fromarray(stripes(1, 5, upright)[0])
        grey.resize((24, 36), Image.Resampling.NEAREST).convert("RGB").save(folder / "pictures" / name)
    return folder


@pytest.fixture
def table(place, tmp_path):
    """Calls the command and returns the rows it wrote."""

    def call(*words: object, run: str = "run") -> list[dict[str, str]]:
        out = tmp_path / "new" / "scores.csv"
        main(cli.parse(ScoreOptions, COMMAND, [str(w) for w in ("--run", place / run, "--out", out, *words)]))
        with out.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return call


def column(rows: list[dict[str, str]], name: str = "anomaly_score") -> np.ndarray:
    return np.array([float(row[name]) for row in rows])


def test_default_is_the_runs_own_test_split(table):
    rows = table()
    assert list(rows[0]) == ["row", "split", "elbo", "reconstruction_loss", "kl_loss", "anomaly_score"]
    assert [(row["row"], row["split"]) for row in rows] == [(str(n), "test") for n in range(NUM_TEST)]


def test_columns_are_nats_of_each_picture(table, place):
    rows = table()
    losses = column(rows, "reconstruction_loss") + column(rows, "kl_loss")
    np.testing.assert_allclose(column(rows, "elbo"), -losses, atol=2e-4)
    terms = elbo_per_image(RunDir.open(place / "run").load_model(), [pixels(stripes(NUM_TEST, 1))], 0)
    np.testing.assert_allclose(losses, terms.negative_elbo, rtol=1e-4)


def test_score_is_the_distance_to_training_pictures(table, place):
    # Few enough that all are the reference; the validation part, 20 of them, is not.
    config = RunDir.open(place / "run").read_config()
    train = load_splits(config).train
    reference = pixels(train.read(np.arange(len(train)))[..., 0])
    model = RunDir.open(place / "run").load_model()
    expected = mahalanobis(model, [pixels(stripes(NUM_TEST, 1))], [reference], 0)
    np.testing.assert_allclose(column(table()), expected, rtol=1e-3)


def test_training_pictures_that_have_gone_are_needed(place, tmp_path, monkeypatch, capsys):
    shutil.copytree(place / "run", tmp_path / "run")
    config = RunDir.open(tmp_path / "run").read_config()
    moved = config.model_copy(update={"data_dir": str(tmp_path / "gone.npz")})
    RunDir.open(tmp_path / "run").write_config(moved)
    words = (
        "--run",
        tmp_path / "run",
        "--dataset",
        "npy",
        "--data-dir",
        place / "lying.npy",
        "--out",
        tmp_path / "s.csv",
    )
    line = refused(monkeypatch, capsys, *words)
    assert "needs the pictures the run was trained on" in line
    assert "gone.npz" in line
    assert "use --score likelihood_regret" in line
    main(cli.parse(ScoreOptions, COMMAND, [*map(str, words), "--score", "likelihood_regret"]))
    assert (tmp_path / "s.csv").is_file()


def test_pictures_of_another_kind_score_higher(table, place):
    scores = column(table("--dataset", "npy", "--data-dir", place / "mixed.npy"))
    assert scores[:15].max() < scores[15:].min()


def test_other_data_is_taken_whole(table, place):
    rows = table("--data-dir", place / "data.npz")
    assert [row["split"] for row in rows] == ["train"] * 200 + ["test"] * NUM_TEST
    assert [row["row"] for row in rows] == [*map(str, range(200)), *map(str, range(NUM_TEST))]


def test_test_split_of_other_data_names_the_rows_it_was_drawn_from(table, place):
    args = ("--dataset", "npy", "--data-dir", place / "mixed.npy")
    whole, drawn = table(*args), table(*args, "--split", "test")
    assert len(drawn) == 6
    for row in drawn:
        twin = whole[int(row["row"])]
        assert float(row["kl_loss"]) == pytest.approx(
            float(twin["kl_loss"]), rel=1e-4
        )  # of a picture, whatever is drawn


def test_all_of_the_own_data_can_be_asked_for(table):
    assert len(table("--split", "all")) == 200 + NUM_TEST


def test_files_are_named_and_brought_to_the_runs_size_and_channels(table, place):
    rows = table("--dataset", "folder", "--data-dir", place / "pictures")
    pictures = place / "pictures"
    assert [row["file"] for row in rows] == [str(pictures / name) for name in ("a.png", "b.png", "deep/c.png")]
    assert {row["split"] for row in rows} == {"all"}
    assert column(rows).argmax() == 2


def test_score_can_be_the_likelihood_regret(table, place):
    model = RunDir.open(place / "run").load_model()
    rows = table("--dataset", "npy", "--data-dir", place / "lying.npy", "--score", "likelihood_regret", "--seed", 3)
    np.testing.assert_allclose(
        column(rows), likelihood_regret(model, [pixels(stripes(5, 2, upright=False))], [], 3), rtol=1e-3, atol=1e-3
    )


def test_conditional_run_scores_labelled_data(table):
    assert len(table(run="conditional")) == NUM_TEST


def test_contact_sheet_shows_the_highest_and_the_lowest_scores(table, tmp_path, capsys):
    table()
    out = tmp_path / "new" / "scores.csv"
    assert capsys.readouterr().out == f"{out}\n{out.with_suffix('.png')}\n"
    with Image.open(out.with_suffix(".png")) as sheet:
        rows_of_pictures = 2 * 6 * SIDE
        assert sheet.width == 6 * (10 * (SIDE + 2) - 2)
        assert rows_of_pictures < sheet.height < rows_of_pictures + 150


def test_rows_of_features_have_scores_and_no_picture(table, tmp_path):
    assert len(table(run="moons")) == 2000
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.csv"]


def refused(monkeypatch, capsys, *words: object) -> str:
    """The one line with which the command refuses; fails where it does anything else."""
    monkeypatch.setattr(sys, "argv", ["score.py", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.run(main, ScoreOptions, COMMAND)
    assert ended.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    [line] = written.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dataset", "folder"], "dataset=folder needs data_dir"),
        (["--dataset", "npz", "--data-dir", "nowhere.npz"], "Received: nowhere.npz"),
        (["--dataset", "minst"], "Did you mean mnist?"),
        (["--dataset", "moons"], "Received: dataset=moons with (2,)"),
        (["--score", "elbo"], "score must be one of mahalanobis, likelihood_regret. Received: score=elbo"),
        (["--split", "val"], "split must be one of"),
        (["--out", "scores.txt"], "out must end in .csv. Received: out=scores.txt"),
    ],
)
def test_bad_input_is_one_line(place, monkeypatch, capsys, words, expected):
    assert expected in refused(monkeypatch, capsys, "--run", place / "run", *words)


def test_folder_that_can_not_be_made_is_refused(place, monkeypatch, capsys):
    out = place / "data.npz" / "scores.csv"
    line = refused(monkeypatch, capsys, "--run", place / "run", "--out", out)
    assert f"out must be a file that can be written. Received: {out}" in line


def test_run_that_has_not_finished_is_refused(monkeypatch, capsys, tmp_path):
    RunDir.create(tmp_path / "run", overwrite=False).write_config(RunConfig())
    assert "model.keras" in refused(monkeypatch, capsys, "--run", tmp_path / "run")


def test_conditional_run_needs_labels(place, monkeypatch, capsys):
    words = ("--dataset", "npy", "--data-dir", place / "lying.npy", "--out", place / "no.csv")
    line = refused(monkeypatch, capsys, "--run", place / "conditional", *words)
    assert "A conditional run needs data with a class for each picture" in line
    assert not (place / "no.csv").exists()


def test_conditional_run_knows_its_classes_alone(place, tmp_path, monkeypatch, capsys):
    labels = np.array([0, 1, 2, 1])
    np.savez(tmp_path / "three.npz", x_train=stripes(4, 0), x_test=stripes(4, 1), y_train=labels, y_test=labels)
    words = ("--data-dir", tmp_path / "three.npz", "--out", tmp_path / "no.csv")
    line = refused(monkeypatch, capsys, "--run", place / "conditional", *words)
    assert "must have the 2 classes that the run was trained with. Received: a label of 2" in line


def test_empty_folder_is_refused(place, tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    words = ("--dataset", "folder", "--data-dir", tmp_path / "empty")
    assert "none found" in refused(monkeypatch, capsys, "--run", place / "run", *words)


def test_scoring_leaves_the_run_as_it_is(table, place):
    before = {path: path.read_bytes() for path in Path(place / "run").rglob("*") if path.is_file()}
    table()
    assert {path: path.read_bytes() for path in Path(place / "run").rglob("*") if path.is_file()} == before


def test_names_of_any_bytes_come_back_from_the_table(tmp_path):
    names = [b"a\nb.png", b"\xff\x1b.png", '猫,".png'.encode()]
    columns = {"file": [os.fsdecode(name) for name in names], "elbo": np.zeros(3)}

    _write_table(columns, tmp_path / "scores.csv")

    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [os.fsencode(row["file"]) for row in csv.DictReader(file)] == names
