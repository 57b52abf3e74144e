"""The encode command: the latents of a run's data in an npz file."""

import sys

import numpy as np
import pytest

from vae_tf.config import RunConfig
from vae_tf.encode import COMMAND, EncodeOptions, main
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.training.run import run_training

SMALL = {"dataset": "npz", "arch": "dense", "hidden_sizes": (8,), "latent_dim": 3, "epochs": 1, "batch_size": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encode")
    rng = np.random.default_rng(0)
    pictures, labels = rng.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 4
    labelled = {"y_train": labels[:40], "y_test": labels[40:]}
    np.savez(folder / "data.npz", x_train=pictures[:40], x_test=pictures[40:], **labelled)
    np.savez(folder / "bare.npz", x_train=pictures[:40], x_test=pictures[40:])
    run_training(RunConfig(**SMALL, data_dir=str(folder / "data.npz")), folder / "run")
    run_training(RunConfig(**SMALL, data_dir=str(folder / "bare.npz"), val_fraction=0), folder / "whole")
    return folder


@pytest.fixture
def encoded(folder, tmp_path):
    """Calls the command and returns the arrays it wrote."""

    def call(run, *words):
        out = tmp_path / "new" / "latents.npz"
        main(cli.parse(EncodeOptions, COMMAND, ["--run", str(folder / run), "--out", str(out), *words]))
        with np.load(out, allow_pickle=False) as archive:
            return dict(archive)

    return call


@pytest.fixture
def refused(folder, tmp_path, monkeypatch, capsys):
    """The one line with which the command refuses; nothing is written."""

    def call(run, *words):
        out = tmp_path / "latents.npz"
        words = ["encode.py", "--run", folder / run, "--out", out, *words]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        with pytest.raises(SystemExit) as ended:
            cli.run(main, EncodeOptions, COMMAND)
        assert ended.value.code == 2
        [line] = capsys.readouterr().err.splitlines()
        assert not out.exists()
        return line

    return call


def test_file_holds_the_posteriors_in_the_order_of_the_data(encoded, folder):
    arrays, run = encoded("run"), RunDir(folder / "run")
    with np.load(folder / "data.npz") as data:
        pictures, labels = data["x_test"], data["y_test"]
    expected = run.load_model().encode_params(pictures[..., np.newaxis].astype(np.float32) / 255)
    np.testing.assert_allclose(arrays["z_test"], expected[:, :3], atol=1e-5)
    np.testing.assert_allclose(arrays["log_var_test"], expected[:, 3:], atol=1e-5)
    np.testing.assert_array_equal(arrays["y_test"], labels)
    assert arrays["z_test"].dtype == arrays["log_var_test"].dtype == np.float32


def test_by_default_there_is_every_split(encoded):
    shapes = {name: array.shape for name, array in encoded("run").items()}
    assert shapes == {
        f"{name}_{split}": (count, 3) if name != "y" else (count,)
        for split, count in (("train", 36), ("val", 4), ("test", 20))
        for name in ("z", "log_var", "y")
    }


def test_splits_and_classes_that_the_data_does_not_have_are_left_out(encoded):
    assert set(encoded("whole")) == {"z_train", "log_var_train", "z_test", "log_var_test"}


def test_one_split_can_be_chosen(encoded):
    assert set(encoded("run", "--split", "val")) == {"z_val", "log_var_val", "y_val"}


def test_command_says_where_the_file_is(encoded, capsys, tmp_path):
    encoded("run", "--split", "test")
    assert capsys.readouterr() == (f"{tmp_path}/new/latents.npz\n", "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["latents.npz"]


@pytest.mark.parametrize(
    ("run", "words", "told"),
    [
        ("run", ["--out", "latents.csv"], "out must end in .npz. Received: out=latents.csv"),
        ("run", ["--split", "valid"], "split"),
        ("whole", ["--split", "val"], "split=val needs a run that held a part out. Received: val_fraction=0"),
        ("nowhere", [], "there is no such folder"),
        ("unfinished", [], "run must be finished"),
    ],
)
def test_what_can_not_be_encoded_is_refused(refused, folder, run, words, told):
    (folder / "unfinished").mkdir(exist_ok=True)
    (folder / "unfinished" / "config.yml").write_text((folder / "run" / "config.yml").read_text())
    assert told in refused(run, *words)


def test_data_of_another_shape_is_refused(refused, folder):
    run = RunDir(folder / "run")
    other = RunDir.create(folder / "other", overwrite=False)
    other.write_config(run.read_config().model_copy(update={"image_size": "9x8"}))
    (other.path / "model.keras").write_bytes((run.path / "model.keras").read_bytes())
    assert "examples of (9, 8, 1) and a model for (8, 8, 1)" in refused("other")


def test_a_file_that_can_not_be_written_is_refused(refused, folder, tmp_path):
    (tmp_path / "file").touch()
    assert "out must be a file that can be written" in refused("run", "--out", tmp_path / "file" / "latents.npz")
