"""The train command: what it writes, prints and repeats."""

import contextlib
import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.catalog import load_arrays
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.train import COMMAND, TrainOptions, default_run_dir, main
from vae_tf.training.run import run_training

ROOT = Path(vae_tf.__file__).resolve().parents[1]
LOSSES = ["loss", "reconstruction_loss", "kl_loss"]
VAL_LOSSES = [f"val_{name}" for name in LOSSES]
CLOCK = ["seconds", "images_per_second"]
SMALL = {"arch": "dense", "hidden_sizes": (16,), "latent_dim": 2, "epochs": 2, "batch_size": 16, "sample_every": 2}


def write_npz(path: Path, *, test_seed: int = 1) -> Path:
    """60 training and 20 brighter test pictures of 12x10 grey pixels."""
    x_train = np.random.default_rng(0).integers(0, 256, (60, 12, 10), dtype=np.uint8)
    x_test = np.random.default_rng(test_seed).integers(100, 256, (20, 12, 10), dtype=np.uint8)
    np.savez(path, x_train=x_train, x_test=x_test)
    return path


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("data") / "tiny.npz")


def small_run(npz: Path, run_dir: Path, **changes) -> RunDir:
    return run_training(RunConfig(**{"dataset": "npz", "data_dir": str(npz), **SMALL, **changes}), run_dir)


def repeatable(run: RunDir) -> list[dict[str, float]]:
    """The history without the columns that a clock decides."""
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in run.read_history()]


def header(run: RunDir) -> list[str]:
    with (run.path / "history.csv").open() as file:
        return next(csv.reader(file))


@pytest.fixture(scope="module")
def small(npz, tmp_path_factory):
    """A run in this process with seed 0."""
    return small_run(npz, tmp_path_factory.mktemp("small"))


def command(folder: Path, *words: object) -> subprocess.CompletedProcess:
    """The real command, piped, in a folder that is not the repository's."""
    return subprocess.run(
        [sys.executable, "-m", "vae_tf.train", *map(str, words)],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """What the real command did, with a relative data path; `run` is its run folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write_npz(folder / "tiny.npz")
    options = "--variant v2 --arch conv --latent-dim 4 --epochs 2 --batch-size 16 --device cpu"
    options += " --dataset npz --data-dir tiny.npz --run-dir runs/first"
    ended = command(folder, *options.split())
    ended.run = RunDir(folder / "runs" / "first")
    return ended


def test_command_succeeds_silently_on_stderr(real):
    assert (real.returncode, real.stderr.decode()) == (0, "")


def test_run_folder_holds_exactly_its_files(real):
    files = {str(path.relative_to(real.run.path)) for path in real.run.path.rglob("*") if path.is_file()}
    of_checkpoint = ("progress.json", "variables.index", "variables.data-00000-of-00001", "SHA256SUMS")
    checkpoints = {f"checkpoints/step_{step:010}/{name}" for step in (4, 8) for name in of_checkpoint}
    pictures = {f"{kind}/epoch_000{epoch}.png" for kind in ("samples", "reconstructions") for epoch in (1, 2)}
    assert files == {"config.yml", "history.csv", "model.keras", "curves.png", ".lock", *pictures, *checkpoints}


def test_command_writes_nothing_outside_its_run_folder(real):
    folder = real.run.path.parents[1]
    assert {path.name for path in folder.iterdir()} == {"tiny.npz", "runs"}
    assert [path.name for path in (folder / "runs").iterdir()] == ["first"]


def test_pictures_are_pngs(real):
    for path in real.run.path.rglob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"


def test_history_columns_are_in_order(real):
    assert header(real.run) == ["epoch", *LOSSES, *VAL_LOSSES, *CLOCK]


def test_history_has_one_row_per_epoch(real):
    assert [row["epoch"] for row in real.run.read_history()] == [1, 2]


def test_loss_is_reconstruction_plus_kl(real):
    for row in real.run.read_history():
        for total, reconstruction, kl in (LOSSES, VAL_LOSSES):
            assert row[total] == pytest.approx(row[reconstruction] + row[kl], rel=1e-5)


def test_config_of_the_run_is_fully_resolved(real):
    config = yaml.safe_load((real.run.path / "config.yml").read_text())
    assert set(config) == set(RunConfig.model_fields)
    assert config["variant"] == "bn"
    assert (config["image_size"], config["channels"]) == ("12x10", 1)
    assert config["data_dir"] == str(real.run.path.parents[1] / "tiny.npz")
    not_of_conv_bernoulli = {"hidden_sizes", "activation", "sigma"}
    off = {"cache_dir", "warmup_steps", "clip_norm", "ema", "micro_batch_size"}
    assert {name for name, value in config.items() if value is None} == not_of_conv_bernoulli | off


def test_piped_output_is_plain_lines(real):
    assert b"\r" not in real.stdout
    assert b"\x1b" not in real.stdout
    lines = real.stdout.decode().splitlines()
    assert len([line for line in lines if line.startswith("epoch ")]) == 2
    assert len(lines) < 15


def test_command_ends_with_the_elbo_its_parts_and_paths_that_exist(real):
    lines = real.stdout.decode().splitlines()
    [result] = [number for number, line in enumerate(lines) if "ELBO" in line]
    elbo, reconstruction, kl = (
        float(re.search(rf"{name} (-?\d+\.\d+)", lines[result]).group(1))
        for name in ("ELBO", "reconstruction_loss", "kl_loss")
    )
    assert elbo == pytest.approx(-(reconstruction + kl), abs=0.0151)
    assert elbo < 0
    paths = [line.split()[-1] for line in lines[result + 1 :]]
    assert {Path(path).name for path in paths} == {"epoch_0002.png", "curves.png", "model.keras"}
    assert len(paths) == 4
    assert all((real.run.path.parents[1] / path).is_file() for path in paths)


def test_elbo_that_is_printed_is_that_of_the_saved_model(real):
    printed = float(re.search(r"ELBO (-\d+\.\d+)", real.stdout.decode()).group(1))
    _, (x_test, _) = load_arrays("npz", str(real.run.path.parents[1] / "tiny.npz"))
    negative_elbo = real.run.load_model().elbo_terms(x_test, num_samples=100, seed=0).negative_elbo()
    assert printed == pytest.approx(-float(np.mean(negative_elbo)), abs=0.5)


def test_training_from_the_config_of_a_run_repeats_it(real, tmp_path):
    ended = command(tmp_path, "--config", real.run.path / "config.yml", "--run-dir", "again")
    assert ended.returncode == 0
    again = RunDir(tmp_path / "again")
    assert repeatable(again) == repeatable(real.run)
    assert again.read_config() == real.run.read_config()


def test_same_seed_gives_the_same_history_and_model(npz, small, tmp_path):
    again = small_run(npz, tmp_path / "again")
    assert repeatable(again) == repeatable(small)
    for first, second in zip(small.load_model().get_weights(), again.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_other_seed_gives_another_history(npz, small, tmp_path):
    assert repeatable(small_run(npz, tmp_path / "other", seed=1))[-1]["loss"] != repeatable(small)[-1]["loss"]


def test_test_split_does_not_change_training(small, tmp_path):
    npz = write_npz(tmp_path / "other_test.npz", test_seed=7)
    assert repeatable(small_run(npz, tmp_path / "run")) == repeatable(small)


@pytest.fixture(scope="module")
def longer(npz, tmp_path_factory):
    """As `small`, but of three epochs."""
    return small_run(npz, tmp_path_factory.mktemp("longer"), epochs=3)


def test_more_epochs_begin_like_fewer(small, longer):
    assert repeatable(longer)[:2] == repeatable(small)


def test_pictures_come_every_so_many_epochs_and_at_the_end(longer):
    for folder in ("samples", "reconstructions"):
        names = sorted(path.name for path in (longer.path / folder).iterdir())
        assert names == ["epoch_0002.png", "epoch_0003.png"]


def test_without_validation_there_are_no_val_columns(npz, tmp_path):
    run = small_run(npz, tmp_path / "run", val_fraction=0)
    assert header(run) == ["epoch", *LOSSES, *CLOCK]


def test_beta_weighs_the_kl_in_training_and_not_in_validation(npz, tmp_path):
    for row in small_run(npz, tmp_path / "run", beta=3).read_history():
        assert row["loss"] == pytest.approx(row["reconstruction_loss"] + 3 * row["kl_loss"], rel=1e-5)
        assert row["val_loss"] == pytest.approx(row["val_reconstruction_loss"] + row["val_kl_loss"], rel=1e-5)


def test_training_lowers_the_loss(npz, tmp_path):
    rows = small_run(npz, tmp_path / "run", epochs=15, sample_every=15, learning_rate=0.01).read_history()
    assert rows[-1]["loss"] < rows[0]["loss"] - 1


def test_dynamic_binarization_trains(npz, small, tmp_path):
    run = small_run(npz, tmp_path / "run", binarize="dynamic")
    assert len(run.read_history()) == 2
    assert repeatable(run)[0]["loss"] != repeatable(small)[0]["loss"]


def test_gaussian_likelihood_trains_and_resolves_its_sigma(npz, tmp_path):
    run = small_run(npz, tmp_path / "run", likelihood="gaussian")
    assert np.isfinite(run.read_history()[-1]["loss"])
    assert run.read_config().sigma == 1.0
    assert run.load_model().likelihood.sigma == 1.0


def test_folder_of_pictures_trains(tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "cats" / "deeper").mkdir(parents=True)
    for index in range(30):
        folder = tmp_path / "cats" / ("deeper" if index % 2 else "")
        side = 9 + index % 4
        Image.fromarray(generator.integers(0, 256, (side, 12, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    run = small_run(tmp_path / "cats", tmp_path / "run", dataset="folder", image_size="10x8", channels=1)
    assert run.load_model().decoder.output_shape == (None, 10, 8, 1)


def test_list_of_pictures_trains_into_a_folder_beside_it(tmp_path):
    generator = np.random.default_rng(0)
    for index in range(20):
        Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "list.txt").write_text("\n".join(f"{index}.png" for index in range(20)))
    run = small_run(tmp_path / "list.txt", tmp_path / "run", dataset="folder", image_size="10x8", channels=1)
    assert run.read_config().data_dir == str(tmp_path / "list.txt")


@pytest.mark.parametrize("name", ["stl10", "stl10_modern"])
def test_configs_of_stl10_train(stl10, tmp_path, name):
    values = read_yaml(Path(__file__).parents[1] / "configs" / f"{name}.yml")
    small = {"image_size": 8, "epochs": 1, "batch_size": 16, "data_dir": str(stl10)}
    run = run_training(RunConfig(**{**values, **small}), tmp_path / "run")
    assert np.isfinite(run.read_history()[-1]["loss"])


def test_overwrite_replaces_the_old_run(npz, small, tmp_path):
    shutil.copytree(small.path, tmp_path / "run")
    config = RunConfig(**{"dataset": "npz", "data_dir": str(npz), **SMALL, "epochs": 1})
    run = run_training(config, tmp_path / "run", overwrite=True)
    assert [row["epoch"] for row in run.read_history()] == [1]
    assert [path.name for path in (run.path / "samples").iterdir()] == ["epoch_0001.png"]


def test_run_is_named_after_its_parts_and_the_time():
    path = default_run_dir(RunConfig(dataset="mnist", arch="dense", variant="v1"))
    assert re.fullmatch(r"runs/mnist-dense-plain-\d{8}-\d{6}", path.as_posix())


@pytest.fixture(scope="module")
def by_default(npz, tmp_path_factory):
    """The folder from which the command ran with hardly an option."""
    folder = tmp_path_factory.mktemp("by_default")
    words = f"--dataset npz --data-dir {npz} --arch dense --epochs 1".split()
    with contextlib.chdir(folder):
        main(cli.parse(TrainOptions, COMMAND, words))
    return folder


def test_command_without_a_run_dir_makes_one_below_runs(by_default):
    [run] = (by_default / "runs").iterdir()
    assert run.name.startswith("npz-dense-bn-")
    assert (run / "model.keras").is_file()


def test_dense_run_resolves_its_layers(by_default):
    [run] = (by_default / "runs").iterdir()
    config = RunDir.open(run).read_config()
    assert (config.hidden_sizes, config.activation) == ((512, 256), "relu")


DIVERGING = {"learning_rate": 1e30, "val_fraction": 0}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"epochs": 2, "batch_size": 16}, id="in-the-first-epoch"),
        pytest.param({"epochs": 1, "batch_size": 60}, id="by-the-last-update"),
    ],
)
def test_divergence_is_one_line_with_status_2_and_leaves_no_model(npz, tmp_path, monkeypatch, capsys, changes):
    options = {"dataset": "npz", "data_dir": str(npz), **SMALL, "variant": "plain", **DIVERGING, **changes}
    options["hidden_sizes"] = "16"
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    monkeypatch.setattr(sys, "argv", ["train.py", *words, f"--run-dir={tmp_path / 'run'}"])
    with pytest.raises(SystemExit) as ended:
        cli.run(main, TrainOptions, COMMAND)
    assert ended.value.code == 2
    *warnings, error = capsys.readouterr().err.splitlines()
    assert all(line.startswith("warning: epoch ") for line in warnings)
    assert error.startswith("error: ")
    assert "learning_rate=1e+30" in error
    assert not (tmp_path / "run" / "model.keras").exists()


def test_required_gpu_that_is_missing_stops_before_the_data_is_read(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "vae_tf.train", "--dataset=npz", "--data-dir=missing.npz", "--require-gpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: require_gpu needs a GPU")
    assert len(ended.stderr.splitlines()) == 1


def test_required_gpus_are_printed_first(npz, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vae_tf.backend.devices.required_gpus", lambda: ["NVIDIA T4"])
    main(TrainOptions(dataset="npz", data_dir=str(npz), **SMALL, run_dir=str(tmp_path / "run"), require_gpu=True))
    assert capsys.readouterr().out.startswith("GPUs    NVIDIA T4\n")


def test_required_gpu_that_may_not_be_used_is_refused():
    with pytest.raises(InputError, match=r"^require_gpu needs device auto or gpu\. Received: device=cpu"):
        TrainOptions(require_gpu=True, device="cpu")
