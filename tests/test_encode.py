"""The encode command: the latents of a run's data in an npz file."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.data.loading import load_splits
from vae_tf.runs.new_run import create_run_dir
from vae_tf.runs.run_dir import RunDir


@pytest.fixture
def encoded(command, trained, tmp_path):
    """Calls the command and returns the arrays it wrote."""

    def call(run, *words):
        out = tmp_path / "new" / "latents.npz"
        ended = command("encode", "--run", trained(run).path, "--out", out, *words)
        assert ended == (0, f"{out}\n", "")
        assert [path.name for path in out.parent.iterdir()] == [out.name]
        with np.load(out, allow_pickle=False) as archive:
            return dict(archive)

    return call


@pytest.fixture
def refused(command, tmp_path):
    """Calls the command and returns the line with which it refuses; nothing is written."""

    def call(run, *words):
        out = tmp_path / "latents.npz"
        error = command("encode", "--run", run, "--out", out, *words, cwd=tmp_path).error
        assert not out.exists()
        return error

    return call


def test_file_holds_the_posteriors_of_every_split_in_the_order_of_the_data(encoded, trained, images):
    arrays = encoded("bn")
    assert {name: array.shape for name, array in arrays.items()} == {
        f"{name}_{split}": (count, 3) if name in ("z", "log_var") else (count,)
        for split, count in (("train", 135), ("val", 15), ("test", 90))
        for name in ("z", "log_var", "y", "row")
    }
    with np.load(images / "images.npz") as data:
        pixels, labels = data["x_test"], data["y_test"]
    model = RunDir(trained("bn").path).load_model()
    expected = model.posterior_params(pixels[..., np.newaxis].astype(np.float32) / 255)
    np.testing.assert_allclose(arrays["z_test"], expected[:, :3], atol=1e-5)
    np.testing.assert_allclose(arrays["log_var_test"], expected[:, 3:], atol=1e-5)
    np.testing.assert_array_equal(arrays["y_test"], labels)
    assert arrays["z_test"].dtype == arrays["log_var_test"].dtype == np.float32
    assert arrays["row_test"].tolist() == list(range(90))
    assert sorted([*arrays["row_train"], *arrays["row_val"]]) == list(range(150))


def test_splits_and_classes_that_the_data_does_not_have_are_left_out(encoded, images, tmp_path):
    with np.load(images / "images.npz") as data:
        np.savez(tmp_path / "bare.npz", x_train=data["x_train"], x_test=data["x_test"])
    arrays = encoded("binary", "--data-dir", str(tmp_path / "bare.npz"))
    assert set(arrays) == {f"{name}_{split}" for name in ("z", "log_var", "row") for split in ("train", "test")}


def test_files_are_named(command, trained, tmp_path):
    (tmp_path / "data").mkdir()
    names = [os.fsdecode(b"0\r.png"), os.fsdecode(b"1\xe9.png"), *(f"{number}.png" for number in range(2, 20))]
    for number, name in enumerate(names):
        Image.new("L", (10, 8), 10 * number).save(tmp_path / "data" / name)
    run = RunDir(Path(shutil.copytree(trained("bn").path, tmp_path / "run")))
    run.write_config(run.read_config().model_copy(update={"dataset": "folder", "data_dir": str(tmp_path / "data")}))

    command("encode", "--run", run.path, "--out", tmp_path / "latents.npz")

    with np.load(tmp_path / "latents.npz", allow_pickle=False) as arrays:
        files = {split: arrays[f"file_{split}"].tolist() for split in ("train", "val", "test")}
        assert all(len(files[split]) == len(arrays[f"z_{split}"]) for split in files)
    assert sorted([*files["train"], *files["val"], *files["test"]]) == sorted(
        str(tmp_path / "data" / name) for name in names
    )
    splits = load_splits(run.read_config())
    assert files == {"train": splits.train.names, "val": splits.val.names, "test": splits.test.names}


def test_one_split_can_be_chosen(encoded):
    assert set(encoded("bn", "--split", "val")) == {"z_val", "log_var_val", "y_val", "row_val"}


@pytest.mark.parametrize(
    ("run", "words", "expected"),
    [
        ("bn", ["--out", "latents.csv"], "out must end in .npz. Received: out=latents.csv"),
        ("bn", ["--split", "valid"], "split"),
        ("binary", ["--split", "val"], "split=val needs a run with a validation split. Received: val_fraction=0"),
    ],
)
def test_options_that_do_not_fit_the_run_are_refused(refused, trained, run, words, expected):
    assert expected in refused(trained(run).path, *words)


def test_what_is_no_finished_run_is_refused(refused, trained, tmp_path):
    assert "no such folder" in refused("nowhere")
    (tmp_path / "unfinished").mkdir()
    shutil.copy(trained("bn").path / "config.yml", tmp_path / "unfinished")
    assert "run must be finished" in refused("unfinished")


def test_data_of_another_shape_is_refused(refused, trained, tmp_path):
    run = RunDir(trained("bn").path)
    other = create_run_dir(tmp_path / "other", overwrite=False)
    other.write_config(run.read_config().model_copy(update={"image_size": "9x10"}))
    shutil.copy(run.path / "model.keras", other.path)
    assert "examples of shape (9, 10, 1) and a model for shape (8, 10, 1)" in refused("other")


def test_a_file_that_can_not_be_written_is_refused(refused, trained, tmp_path):
    (tmp_path / "file").touch()
    line = refused(trained("bn").path, "--out", tmp_path / "file" / "latents.npz")
    assert "out must be a writable file" in line
