"""Bad input of the train command: status 2, one line on stderr, no traceback, no run folder."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.support.errors import InputError

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(vae_tf.__file__).resolve().parents[1])}


@pytest.fixture
def refused(command, tmp_path):
    """Calls the command and returns its one line; nothing else is printed, and nothing is written."""

    def call(*words: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        ended = command("train", *words, cwd=tmp_path)
        assert sorted(tmp_path.rglob("*")) == before
        assert ended.stdout == ""
        assert ended.error.startswith("error: ")
        assert "Traceback" not in ended.error
        return ended.error

    return call


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--latent-dim 0", "latent_dim must be at least 1. Received: latent_dim=0"),
        ("--latent-dim two", "latent_dim must be an integer. Received: latent_dim=two"),
        ("--batch-size 0", "batch_size must be at least 1. Received: batch_size=0"),
        ("--epochs 0", "epochs must be at least 1. Received: epochs=0"),
        ("--image-size 4", "image_size must be at least 8 pixels on each side. Received: image_size=4"),
        ("--beta -1", "beta must be at least 0.0. Received: beta=-1"),
        ("--beta nan", "beta must be a finite number. Received: beta=nan"),
        ("--learning-rate nan", "learning_rate must be a finite number. Received: learning_rate=nan"),
        ("--learning-rate 0", "learning_rate must be greater than 0.0. Received: learning_rate=0"),
        ("--val-fraction 1", "val_fraction must be less than 1.0. Received: val_fraction=1"),
        ("--seed -1", "seed must be at least 0. Received: seed=-1"),
        ("--channels 2", "channels must be one of 1 or 3. Received: channels=2"),
        ("--binarize maybe", "Received: binarize=maybe"),
        ("--device tpu", "Received: device=tpu"),
        ("--likelihood gauss", "Did you mean gaussian?"),
        ("--sigma 2", "sigma needs likelihood=gaussian"),
        ("--hidden-sizes 20", "hidden_sizes needs arch=dense"),
        ("--hidden-sizes 20,0 --arch dense", "hidden_sizes must be at least 1"),
        ("--latent-dims 3", "Did you mean --latent-dim?"),
        ("--dataset fashion_mist", "Did you mean fashion_mnist?"),
        ("--variant v3", "variant must be one of plain, bn, v1, v2. Received: variant=v3"),
        ("--arch dens", "Did you mean dense?"),
        ("--config nowhere.yml", "config must be a readable YAML file. Received: nowhere.yml"),
        ("--config .", "config must be a readable YAML file. Received: ."),
    ],
)
def test_wrong_option(refused, words, expected):
    assert expected in refused("--dataset=npz", "--data-dir=nowhere.npz", *words.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latent_dim: [", "config must be valid YAML. Received: "),
        ("- latent_dim", "config must be a YAML mapping of keys to values. Received: "),
        ("just text", "config must be a YAML mapping of keys to values. Received: "),
        ("latent_dims: 3", "Unknown config key 'latent_dims'. Did you mean latent_dim?"),
        ("latent_dim: 0", "latent_dim must be at least 1. Received: latent_dim=0"),
        ("learning_rate: .nan", "learning_rate must be a finite number. Received: learning_rate=nan"),
        ("arch: [conv]", "arch must be one of"),
        ("variant: 3", "Received: variant=3"),
        ("1: 2", "1"),
        ("latent_dim: !!python/object/apply:os.system [exit]", "config must be valid YAML"),
    ],
)
def test_wrong_config_file(refused, tmp_path, text, expected):
    (tmp_path / "wrong.yml").write_text(text)
    assert expected in refused("--config", "wrong.yml")


def test_config_file_that_is_no_text(refused, tmp_path):
    (tmp_path / "wrong.yml").write_bytes(bytes(range(256)))
    assert "config must be valid YAML. Received: wrong.yml" in refused("--config", "wrong.yml")


def images(count: int = 20, shape: tuple[int, ...] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def npz(folder: Path, **changes) -> Path:
    """An npz file that would train but for the changes; a change to `None` leaves the array out."""
    arrays = {"x_train": images(60), "x_test": images(), **changes}
    np.savez(folder / "data.npz", **{name: array for name, array in arrays.items() if array is not None})
    return folder / "data.npz"


def with_value(value: float) -> np.ndarray:
    array = images().astype(np.float32)
    array[3, 4, 5] = value
    return array


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"x_train": with_value(np.nan)}, "x_train must contain values in [0, 255] without NaN", id="nan"),
        pytest.param({"x_train": with_value(np.inf)}, "x_train must contain values in [0, 255]", id="infinite"),
        pytest.param({"x_test": with_value(256)}, "maximum 256", id="above-255"),
        pytest.param({"x_train": with_value(-1)}, "minimum -1", id="negative"),
        pytest.param({"x_test": None}, "Missing: x_test", id="no-x_test"),
        pytest.param({"x_train": None, "x_test": None}, "Missing: x_train and x_test", id="no-images"),
        pytest.param({"x_train": images(60, (64,))}, "Received: shape (60, 64)", id="rank-2"),
        pytest.param({"x_train": images(60, (8, 8, 2))}, "Received: shape (60, 8, 8, 2)", id="two-channels"),
        pytest.param({"x_train": images(0)}, "at least one image", id="no-image"),
        pytest.param({"x_test": images(20, (9, 8))}, "images of the same shape", id="two-shapes"),
        pytest.param({"x_train": np.full((20, 8, 8), "a")}, "must contain numbers", id="text"),
        pytest.param({"x_train": np.full((20, 8, 8), None)}, "data.npz", id="pickled-objects"),
        pytest.param({"y_train": np.arange(5)}, "one label for each of 60 images", id="too-few-labels"),
        pytest.param({"y_train": np.full(60, 0.5)}, "y_train must contain integers", id="fractional-labels"),
        pytest.param({"y_train": np.array(3)}, "y_train", id="one-label"),
        pytest.param(
            {"x_train": images(60, (6, 6)), "x_test": images(20, (6, 6))},
            "at least 8x8 pixels. Received: 6x6; use --image-size",
            id="images-below-8x8",
        ),
    ],
)
def test_wrong_arrays_in_an_npz_file(refused, tmp_path, changes, expected):
    assert expected in refused("--dataset=npz", "--data-dir", npz(tmp_path, **changes))


def test_npz_file_that_is_no_zip(refused, tmp_path):
    (tmp_path / "data.npz").write_text("no zip")
    assert "valid npz file" in refused("--dataset=npz", "--data-dir", tmp_path / "data.npz")


@pytest.mark.parametrize("keep", [0, 3, 100, 3000])
def test_truncated_npz_file(refused, tmp_path, keep):
    path = npz(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    assert "valid npz file" in refused("--dataset=npz", "--data-dir", path)


def test_npz_file_with_flipped_bytes(refused, tmp_path):
    path = npz(tmp_path)
    content = bytearray(path.read_bytes())
    content[500:600] = bytes(byte ^ 255 for byte in content[500:600])
    path.write_bytes(content)
    assert "valid npz file" in refused("--dataset=npz", "--data-dir", path)


def test_npz_data_that_is_a_folder(refused, tmp_path):
    assert "readable npz file" in refused("--dataset=npz", "--data-dir", tmp_path)


def test_npz_data_that_is_an_npy_file(refused, tmp_path):
    np.save(tmp_path / "data.npy", images())
    assert "npz file" in refused("--dataset=npz", "--data-dir", tmp_path / "data.npy")


def test_dataset_that_needs_a_data_dir(refused):
    assert "needs data_dir" in refused("--dataset=npz")


def test_bundled_data_takes_no_data_dir(refused, tmp_path):
    assert "data_dir must not be set" in refused("--data-dir", tmp_path)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        pytest.param(images(20, (64,)), "Received: shape (20, 64)", id="rank-2"),
        pytest.param(images(20, (8, 8, 3, 1)), "Received: shape (20, 8, 8, 3, 1)", id="rank-5"),
        pytest.param(with_value(np.nan), "without NaN", id="nan"),
        pytest.param(images(48, (64, 3)), "shape (48, 64, 3), which is one image", id="one-rgb-image"),
        pytest.param(images(1), "too few examples for a test split. Received: 1", id="one-image"),
    ],
)
def test_wrong_array_in_an_npy_file(refused, tmp_path, array, expected):
    np.save(tmp_path / "data.npy", array)
    assert expected in refused("--dataset=npy", "--data-dir", tmp_path / "data.npy")


@pytest.mark.parametrize("keep", [0, 5, 60, 500])
def test_truncated_npy_file(refused, tmp_path, keep):
    np.save(tmp_path / "data.npy", images())
    (tmp_path / "data.npy").write_bytes((tmp_path / "data.npy").read_bytes()[:keep])
    assert "npy file" in refused("--dataset=npy", "--data-dir", tmp_path / "data.npy")


def test_npy_file_of_pickled_objects(refused, tmp_path):
    np.save(tmp_path / "data.npy", np.full((20, 8, 8), None))
    assert "data.npy" in refused("--dataset=npy", "--data-dir", tmp_path / "data.npy")


def test_validation_part_of_too_few_images(refused, tmp_path):
    path = npz(tmp_path, x_train=images(4))
    assert "val_fraction=0.1" in refused("--dataset=npz", "--data-dir", path)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


IDX_FILES = {
    "train-images-idx3-ubyte": idx(images(60)),
    "t10k-images-idx3-ubyte": idx(images()),
    "train-labels-idx1-ubyte": idx(np.zeros(60, np.uint8)),
    "t10k-labels-idx1-ubyte": idx(np.zeros(20, np.uint8)),
}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param("train-images-idx3-ubyte", idx(images(60))[:-1], "download it again", id="truncated"),
        pytest.param(
            "train-images-idx3-ubyte", idx(images(60))[:9], "must have a header of 16 bytes", id="truncated-header"
        ),
        pytest.param("t10k-images-idx3-ubyte", b"", "must be an IDX file", id="empty"),
        pytest.param("t10k-images-idx3-ubyte", idx(images()) + b"\0", "download it again", id="too-long"),
        pytest.param(
            "t10k-images-idx3-ubyte", idx(images(20, (64,))), "an array with 3 dimensions. Received: 2", id="rank"
        ),
        pytest.param("train-labels-idx1-ubyte", idx(np.zeros(59, np.uint8)), "one label for each of 60", id="labels"),
        pytest.param("train-images-idx3-ubyte", b"<html>not found</html>", "must be an IDX file", id="no-idx"),
    ],
)
def test_wrong_idx_file(refused, tmp_path, name, content, expected):
    for file, right in IDX_FILES.items():
        (tmp_path / file).write_bytes(content if file == name else right)
    line = refused("--dataset=mnist", "--data-dir", tmp_path)
    assert expected in line
    assert name.partition("-")[0] in line


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(gzip.compress(IDX_FILES["train-images-idx3-ubyte"])[:-9], id="truncated"),
        pytest.param(IDX_FILES["train-images-idx3-ubyte"], id="not-compressed"),
    ],
)
def test_damaged_gzip_of_an_idx_file(refused, tmp_path, content):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(IDX_FILES["t10k-images-idx3-ubyte"])
    assert "damaged gzip file" in refused("--dataset=mnist", "--data-dir", tmp_path)


def test_folder_without_the_files_of_a_named_dataset(refused, tmp_path):
    line = refused("--dataset=cifar10", "--data-dir", tmp_path)
    assert "cifar10.npz" in line
    assert str(tmp_path) in line


@pytest.mark.parametrize("dataset", ["folder", "mnist", "stl10"])
def test_data_folder_that_is_missing(refused, tmp_path, dataset):
    line = refused(f"--dataset={dataset}", "--data-dir", tmp_path / "nowhere")
    assert "data_dir must be a folder" in line
    assert str(tmp_path / "nowhere") in line


def test_data_folder_that_is_empty(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    line = refused("--dataset=folder", "--data-dir", tmp_path / "empty")
    assert "data_dir must contain images (.jpg" in line
    assert str(tmp_path / "empty") in line


def test_data_folder_that_is_a_file(refused, tmp_path):
    (tmp_path / "file.jpg").write_text("no image")
    assert "must be a folder" in refused("--dataset=folder", "--data-dir", tmp_path / "file.jpg")


def test_list_of_images_that_is_missing(refused, tmp_path):
    line = refused("--dataset=folder", "--data-dir", tmp_path / "list.txt")
    assert f"data_dir must be a readable list file. Received: {tmp_path / 'list.txt'}" in line


def test_list_of_images_that_is_empty(refused, tmp_path):
    (tmp_path / "list.txt").write_text("# nothing\n")
    assert "data_dir must list at least one image" in refused("--dataset=folder", "--data-dir", tmp_path / "list.txt")


def test_data_folder_where_no_image_opens(refused, tmp_path):
    (tmp_path / "cats").mkdir()
    for number in range(3):
        (tmp_path / "cats" / f"{number}.jpg").write_text("no image")
    assert "none of 3 files could be read" in refused("--dataset=folder", "--data-dir", tmp_path / "cats")


def test_data_folder_with_an_empty_test_part(refused, tmp_path):
    for part in ("train", "test"):
        (tmp_path / "cats" / part).mkdir(parents=True)
    Image.fromarray(images()[0]).save(tmp_path / "cats" / "train" / "cat.png")
    assert str(Path("cats") / "test") in refused("--dataset=folder", "--data-dir", tmp_path / "cats")


def test_data_folder_of_one_image(refused, tmp_path):
    (tmp_path / "cats").mkdir()
    Image.fromarray(images()[0]).save(tmp_path / "cats" / "cat.png")
    assert "too few examples for a test split" in refused("--dataset=folder", "--data-dir", tmp_path / "cats")


@pytest.mark.parametrize("dataset", ["folder", "mnist", "stl10", "npz", "npy"])
@pytest.mark.parametrize("below", ["", "data", "data.txt"])
def test_data_that_the_user_may_not_read(ordinary_user, tmp_path, dataset, below):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    config = RunConfig(dataset=dataset, data_dir=str(locked / below))
    with ordinary_user, pytest.raises(InputError, match="locked") as raised:
        load_splits(config)
    locked.chmod(0o700)
    assert len(str(raised.value).splitlines()) == 1


def test_run_folder_that_is_not_empty(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    line = refused("--dataset=npz", "--data-dir", npz(tmp_path), "--run-dir", tmp_path / "run")
    assert "run_dir must be new or empty" in line
    assert "--overwrite" in line


def test_run_folder_that_is_not_empty_is_refused_before_the_data_is_read(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    line = refused("--dataset=npz", "--data-dir", tmp_path / "nowhere.npz", "--run-dir", tmp_path / "run")
    assert "run_dir must be new or empty" in line


def test_overwriting_a_folder_that_is_no_run(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    data = npz(tmp_path)
    line = refused("--dataset=npz", "--data-dir", data, "--run-dir", tmp_path / "run", "--overwrite")
    assert "--overwrite only replaces run folders" in line


def test_run_that_would_be_overwritten_survives_bad_data(refused, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yml").write_text("latent_dim: 2\n")
    (tmp_path / "run" / "model.keras").write_text("precious")
    data = npz(tmp_path, x_train=with_value(np.nan))
    refused("--dataset=npz", "--data-dir", data, "--run-dir", tmp_path / "run", "--overwrite")
    assert (tmp_path / "run" / "model.keras").read_text() == "precious"


def test_run_folder_that_is_a_file(refused, tmp_path):
    (tmp_path / "run").write_text("mine")
    line = refused("--dataset=npz", "--data-dir", npz(tmp_path), "--run-dir", tmp_path / "run")
    assert "run_dir must be a folder" in line


def test_run_folder_below_a_file(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    line = refused("--dataset=npz", "--data-dir", npz(tmp_path), "--run-dir", tmp_path / "file" / "run")
    assert "run_dir must be a writable folder" in line


def test_run_folder_whose_name_is_too_long(refused, tmp_path):
    line = refused("--dataset=npz", "--data-dir", npz(tmp_path), "--run-dir", tmp_path / ("x" * 300))
    assert "run_dir" in line


def test_data_folder_whose_name_is_too_long(refused, tmp_path):
    assert "data_dir" in refused("--dataset=folder", "--data-dir", tmp_path / ("x" * 300))


def test_gpu_where_there_is_none(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    line = refused("--dataset=npz", "--data-dir", npz(tmp_path), "--run-dir", tmp_path / "run", "--device=gpu")
    assert "device=gpu needs a GPU" in line


@pytest.mark.parametrize(
    ("name", "words"),
    [("evaluate", ()), ("sample", ()), ("encode", ()), ("score", ()), ("fit_sampler", ("--sampler", "gmm"))],
)
def test_gpu_is_refused_by_every_command_where_there_is_none(command, trained, tmp_path, monkeypatch, name, words):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    ended = command(name, "--run", trained("plain").path, "--device", "gpu", *words, cwd=tmp_path)
    assert ended.error.startswith("error: device=gpu needs a GPU, and TensorFlow does not see one; ")


def test_run_folder_inside_the_data_folder_is_refused(refused, tmp_path):
    (tmp_path / "images").mkdir()
    words = ("--dataset", "folder", "--data-dir", "images", "--run-dir", "images/run")
    assert "Neither run_dir nor data_dir may contain the other" in refused(*words)


@pytest.mark.parametrize("words", [["--latent-dim", "1000000"], ["--image-size", "5000"], ["--beta", "1e300"]], ids=str)
def test_what_no_machine_can_compute_is_refused(refused, words):
    assert "must be at most" in refused(*words)


def test_a_process_with_missing_data_prints_one_line_and_does_not_load_tensorflow(tmp_path):
    words = ["--dataset", "npz", "--data-dir", "absent.npz", "--run-dir", "run"]
    # Python lists its imports on stderr, each in a line that begins so.
    listed = "import time:"
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "vae_tf.train", *words],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    lines = result.stderr.splitlines()
    assert (result.returncode, result.stdout, list(tmp_path.iterdir())) == (2, "", [])
    [error] = [line for line in lines if not line.startswith(listed)]
    assert error.startswith("error: data_dir must be a readable npz file. Received: absent.npz")
    imports = [line.rpartition("|")[2].strip() for line in lines if line.startswith(listed)]
    assert "numpy" in imports
    assert "tensorflow" not in imports
