"""The train command: what it writes, prints and repeats."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_arrays
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.train import TrainOptions, default_run_dir
from vae_tf.training.collapse import warn_if_collapsed
from vae_tf.training.run import run_training

ROOT = Path(vae_tf.__file__).resolve().parents[1]
LOSSES = ["loss", "reconstruction_loss", "kl_loss"]
VAL_LOSSES = [f"val_{name}" for name in LOSSES]
CLOCK = ["seconds", "images_per_second"]


def repeatable(path: Path) -> list[dict[str, float]]:
    """The history without the columns that a clock decides."""
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in RunDir(path).read_history()]


def header(path: Path) -> list[str]:
    with (path / "history.csv").open() as file:
        return next(csv.reader(file))


class Real:
    """What the real command did; `run` is its run folder."""

    def __init__(self, folder: Path) -> None:
        self.returncode, self.stdout, self.stderr = json.loads((folder / "ended.json").read_text())
        self.folder = folder / "elsewhere"
        self.run = RunDir(self.folder / "runs" / "first")


@pytest.fixture(scope="module")
def real(made_once, images):
    """The real command, piped, in a folder that is not the repository's, with a relative data path."""

    def make(folder: Path) -> None:
        (folder / "elsewhere").mkdir()
        with np.load(images / "images.npz") as data:
            bright = np.maximum(data["x_test"], 150)
            np.savez(folder / "elsewhere" / "tiny.npz", x_train=data["x_train"], x_test=bright)
        options = "--arch conv --variant v2 --latent-dim 4 --learning-rate 0.01 --epochs 2 --batch-size 50 --device cpu"
        options += " --dataset npz --data-dir tiny.npz --run-dir runs/first"
        ended = subprocess.run(
            [sys.executable, "-m", "vae_tf.train", *options.split()],
            capture_output=True,
            cwd=folder / "elsewhere",
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        written = [ended.returncode, ended.stdout.decode(), ended.stderr.decode()]
        (folder / "ended.json").write_text(json.dumps(written))

    return Real(made_once("real_train_command", make))


@pytest.fixture(scope="module")
def again(made_once, command, real):
    """The run that the command makes from the config of the real one, in this process."""

    def make(folder: Path) -> None:
        words = ("--config", real.run.path / "config.yml", "--run-dir", "again")
        assert command("train", *words, cwd=folder).status == 0

    return RunDir(made_once("train_again", make) / "again")


def test_command_succeeds_silently_on_stderr(real):
    assert (real.returncode, real.stderr) == (0, "")


def test_run_folder_holds_exactly_its_files(real):
    files = {str(path.relative_to(real.run.path)) for path in real.run.path.rglob("*") if path.is_file()}
    of_checkpoint = ("progress.json", "variables.index", "variables.data-00000-of-00001", "SHA256SUMS")
    checkpoints = {f"checkpoints/step_{step:010}/{name}" for step in (3, 6) for name in of_checkpoint}
    figures = {f"{kind}/epoch_000{epoch}.png" for kind in ("samples", "reconstructions") for epoch in (1, 2)}
    assert files == {"config.yml", "history.csv", "model.keras", "curves.png", ".lock", *figures, *checkpoints}


def test_command_writes_nothing_outside_its_run_folder(real):
    assert {path.name for path in real.folder.iterdir()} == {"tiny.npz", "runs"}
    assert [path.name for path in (real.folder / "runs").iterdir()] == ["first"]


def test_figures_are_pngs(real):
    for path in real.run.path.rglob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert image.format == "PNG"


def test_history_columns_are_in_order(real):
    assert header(real.run.path) == ["epoch", *LOSSES, *VAL_LOSSES, *CLOCK]


def test_history_has_one_row_per_epoch(real):
    assert [row["epoch"] for row in real.run.read_history()] == [1, 2]


def test_loss_is_reconstruction_plus_kl(real):
    for row in real.run.read_history():
        for total, reconstruction, kl in (LOSSES, VAL_LOSSES):
            assert row[total] == pytest.approx(row[reconstruction] + row[kl], rel=1e-5)


def test_config_of_the_run_is_fully_resolved(real):
    config = yaml.safe_load((real.run.path / "config.yml").read_text())
    assert set(config) == {"format_version", *RunConfig.model_fields}
    assert config["format_version"] == 3
    assert config["variant"] == "bn"
    assert (config["image_size"], config["fit"], config["channels"]) == ("8x10", "stretch", 1)
    assert config["data_dir"] == str(real.folder / "tiny.npz")
    off = {"cache_dir", "sampler", "kl_warmup_epochs", "warmup_steps", "clip_norm", "ema", "micro_batch_size"}
    assert {name for name, value in config.items() if value is None} == off


def test_piped_output_is_plain_lines(real):
    assert "\r" not in real.stdout
    assert "\x1b" not in real.stdout
    lines = real.stdout.splitlines()
    assert len([line for line in lines if line.startswith("epoch ")]) == 2
    assert len(lines) < 15


def printed(real):
    """The test ELBO, the losses next to it, and the lines below."""
    lines = real.stdout.splitlines()
    [result] = [number for number, line in enumerate(lines) if "ELBO" in line]
    numbers = (
        float(re.search(rf"{name} (-?\d+\.\d+)", lines[result]).group(1))
        for name in ("ELBO", "reconstruction_loss", "kl_loss")
    )
    return *numbers, lines[result + 1 :]


def test_command_ends_with_the_elbo_its_parts_and_paths_that_exist(real):
    elbo, reconstruction, kl, lines = printed(real)
    assert elbo == pytest.approx(-(reconstruction + kl), abs=0.0151)
    assert elbo < 0
    paths = [line.split()[-1] for line in lines]
    assert {Path(path).name for path in paths} == {"epoch_0002.png", "curves.png", "model.keras"}
    assert len(paths) == 4
    assert all((real.folder / path).is_file() for path in paths)


def test_numbers_that_are_printed_are_those_of_the_saved_model_on_test_images(real):
    elbo, _, kl, _ = printed(real)
    _, (x_test, _) = load_arrays("npz", str(real.folder / "tiny.npz"))
    terms = real.run.load_model().elbo_terms(x_test, num_samples=10, seed=0)
    assert kl == pytest.approx(float(np.mean(terms.kl_loss())), abs=0.006)
    assert elbo == pytest.approx(-float(np.mean(terms.negative_elbo())), rel=0.1)  # of one draw


@pytest.mark.slow
def test_training_from_the_config_of_a_run_repeats_its_history(real, again):
    assert repeatable(again.path) == repeatable(real.run.path)
    assert again.read_config() == real.run.read_config()


def test_training_from_the_config_of_a_run_repeats_its_weights(real, again):
    for first, second in zip(real.run.load_model().get_weights(), again.load_model().get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_other_seed_gives_another_history(trained):
    first, other = (repeatable(trained(kind).path) for kind in ("bn", "bn_seed1"))
    assert first[-1]["loss"] != other[-1]["loss"]


def test_test_split_does_not_change_training(trained):
    assert repeatable(trained("bn_other_test").path) == repeatable(trained("bn").path)


@pytest.fixture(scope="module")
def longer(made_once, command, of_images):
    """As the shared run "bn", but of three epochs, with figures after every second."""

    def make(folder: Path) -> None:
        words = ("--epochs", 3, "--sample-every", 2, "--run-dir", folder / "run")
        assert command("train", *of_images, *words).status == 0

    return made_once("trained_longer", make) / "run"


@pytest.mark.slow
def test_more_epochs_begin_like_fewer(trained, longer):
    assert repeatable(longer)[:2] == repeatable(trained("bn").path)


def test_figures_come_every_so_many_epochs_and_at_the_end(longer):
    for folder in ("samples", "reconstructions"):
        names = sorted(path.name for path in (longer / folder).iterdir())
        assert names == ["epoch_0002.png", "epoch_0003.png"]


def test_without_validation_there_are_no_val_columns(trained):
    assert header(trained("binary").path) == ["epoch", *LOSSES, *CLOCK]


def test_beta_multiplies_the_kl_in_training_and_not_in_validation(trained):
    for row in RunDir(trained("moons").path).read_history():
        assert row["loss"] == pytest.approx(row["reconstruction_loss"] + 0.5 * row["kl_loss"], rel=1e-5)
        assert row["val_loss"] == pytest.approx(row["val_reconstruction_loss"] + row["val_kl_loss"], rel=1e-5)


def test_training_lowers_the_loss(longer):
    rows = RunDir(longer).read_history()
    assert rows[-1]["loss"] < rows[0]["loss"] - 1


def test_latents_that_hardly_vary_are_warned_of(trained, capsys):
    run = LoadedRun(RunDir(trained("bn").path))
    warn_if_collapsed(run.model, run.config, run.splits)
    assert capsys.readouterr().err == ""
    run.model.encoder.set_weights([0 * weights for weights in run.model.encoder.get_weights()])
    warn_if_collapsed(run.model, run.config, run.splits)
    assert capsys.readouterr().err.startswith(
        "warning: possible posterior collapse: only 0 of 3 latent dimensions are "
    )


def test_gaussian_likelihood_resolves_its_sigma(trained):
    run = RunDir(trained("gaussian").path)
    assert np.isfinite(run.read_history()[-1]["loss"])
    assert run.read_config().sigma == 1.0
    assert run.load_model().likelihood.sigma == 1.0


def test_list_of_images_trains_into_a_folder_next_to_it_with_pixels_drawn_afresh(command, tmp_path):
    """Dynamic binarization, on files that are decoded in every epoch."""
    generator = np.random.default_rng(0)
    for index in range(20):
        Image.fromarray(generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "list.txt").write_text("\n".join(f"{index}.png" for index in range(20)))
    words = "--dataset folder --data-dir list.txt --image-size 10x8 --channels 1 --binarize dynamic --epochs 1"
    words += " --arch dense --hidden-sizes 16 --latent-dim 2 --run-dir run"
    assert command("train", *words.split(), cwd=tmp_path).status == 0
    assert RunDir(tmp_path / "run").read_config().data_dir == str(tmp_path / "list.txt")
    assert np.isfinite(RunDir(tmp_path / "run").read_history()[0]["loss"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stl10", "stl10_modern"])
def test_configs_of_stl10_train(stl10, tmp_path, name):
    values = read_yaml(Path(__file__).parents[1] / "configs" / f"{name}.yml")
    small = {"image_size": 8, "epochs": 1, "batch_size": 16, "data_dir": str(stl10)}
    run = run_training(RunConfig(**{**values, **small}), tmp_path / "run")
    assert np.isfinite(run.read_history()[-1]["loss"])


def test_overwrite_replaces_the_old_run(command, of_images, trained, tmp_path):
    shutil.copytree(trained("bn").path, tmp_path / "run")
    words = ("--epochs", 1, "--overwrite", "--run-dir", tmp_path / "run")
    assert command("train", *of_images, *words).status == 0
    assert [row["epoch"] for row in RunDir(tmp_path / "run").read_history()] == [1]
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["epoch_0001.png"]


def test_run_is_named_after_its_parts_and_the_time():
    path = default_run_dir(RunConfig(dataset="mnist", arch="dense", variant="v1"))
    assert re.fullmatch(r"runs/mnist-dense-plain-\d{8}-\d{6}", path.as_posix())


def test_command_with_hardly_an_option_makes_a_run_below_runs_with_the_defaults(command, images, tmp_path):
    words = ("--dataset", "npz", "--data-dir", images / "images.npz", "--arch", "dense", "--epochs", 1)
    assert command("train", *words, cwd=tmp_path).status == 0
    [run] = (tmp_path / "runs").iterdir()
    assert run.name.startswith("npz-dense-bn-")
    config = RunDir.open(run).read_config()
    assert (config.hidden_sizes, config.activation) == ((512, 256), "relu")
    assert RunDir(run).is_finished


@pytest.mark.parametrize(
    ("epochs", "batch_size"),
    [pytest.param(2, 32, id="in-the-first-epoch"), pytest.param(1, 150, id="by-the-last-update")],
)
def test_divergence_is_one_line_with_status_2_and_leaves_no_model(command, of_images, tmp_path, epochs, batch_size):
    words = ("--epochs", epochs, "--batch-size", batch_size, "--variant", "plain", "--val-fraction", 0)
    ended = command("train", *of_images, *words, "--learning-rate", 1e30, "--run-dir", tmp_path / "run")
    assert ended.status == 2
    *warnings, error = ended.stderr.splitlines()
    assert all(line.startswith("warning: epoch ") for line in warnings)
    assert error.startswith("error: ")
    assert "learning_rate=1e+30" in error
    assert not (tmp_path / "run" / "model.keras").exists()


def test_required_gpu_that_is_missing_stops_before_the_data_is_read(command, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    ended = command("train", "--dataset=npz", "--data-dir=missing.npz", "--require-gpu", cwd=tmp_path)
    assert ended.stdout == ""
    assert ended.error.startswith("error: require_gpu needs a GPU")


def test_required_gpus_are_printed_before_the_data_is_read(command, tmp_path, monkeypatch):
    monkeypatch.setattr("vae_tf.backend.devices.require_gpus", lambda: ["NVIDIA T4"])
    ended = command("train", "--dataset=npz", "--data-dir=missing.npz", "--require-gpu", cwd=tmp_path)
    assert ended.stdout == "GPUs    NVIDIA T4\n"
    assert "missing.npz" in ended.error


def test_required_gpu_that_may_not_be_used_is_refused():
    with pytest.raises(InputError, match=r"^require_gpu needs device=auto or device=gpu\. Received: device=cpu"):
        TrainOptions(require_gpu=True, device="cpu")


# From Python


@pytest.fixture
def small(images):
    """Options of a run of a second."""
    data = {"dataset": "npz", "data_dir": str(images / "images.npz")}
    return {**data, "arch": "dense", "hidden_sizes": (16,), "latent_dim": 3, "epochs": 2, "batch_size": 32}


def test_train_run_does_what_the_command_does(trained, images, tmp_path):
    run = vae_tf.train_run(RunDir(trained("bn").path).read_config(), run_dir=tmp_path / "run")
    assert repeatable(run.path) == repeatable(trained("bn").path)
    assert run.history == RunDir(run.path).read_history()
    assert run.model.sample(2, seed=0).shape == (2, 8, 10, 1)


def test_train_run_overrides_its_config_and_refuses_what_the_command_refuses(tmp_path):
    with pytest.raises(InputError, match=r"latent_dim must be at least 1\. Received: latent_dim=0"):
        vae_tf.train_run(RunConfig(), latent_dim=0, run_dir=tmp_path / "run")
    with pytest.raises(InputError, match=r"Unknown config key .latent_dims.\. Did you mean latent_dim"):
        vae_tf.train_run(latent_dims=3)


def test_a_run_that_a_callback_stops_is_finished(small, tmp_path, capsys):
    def train():
        stop = keras.callbacks.EarlyStopping("loss", min_delta=1e6, patience=1)
        return vae_tf.train_run(**{**small, "epochs": 50}, run_dir=tmp_path / "run", callbacks=[stop])

    assert [row["epoch"] for row in train().history] == [1, 2]
    assert "already finished" not in capsys.readouterr().out
    assert len(train().history) == 2
    assert "already finished" in capsys.readouterr().out


def test_callbacks_are_called_as_fit_calls_them(small, tmp_path):
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_epoch_end=lambda epoch, logs: seen.append((epoch, "val_loss" in logs)),
        on_train_end=lambda logs: seen.append("end"),
    )
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "val_loss", save_best_only=True)
    vae_tf.train_run(**small, run_dir=tmp_path / "run", callbacks=[callback, checkpoint])
    assert seen == ["begin", (0, True), (1, True), "end"]
    assert (tmp_path / "best.keras").is_file()


# Data and models from Python


@pytest.fixture(scope="module")
def arrays(images):
    """The arguments of `train_run` with the data of the shared runs."""
    with np.load(images / "images.npz") as data:
        return {"x": data["x_train"], "y": data["y_train"], "x_test": data["x_test"], "y_test": data["y_test"]}


@pytest.fixture
def of_model():
    """Options of a run of a second, without its data."""
    return {"arch": "dense", "hidden_sizes": (16,), "latent_dim": 3, "epochs": 2, "batch_size": 32}


def test_a_run_on_arrays_is_the_run_on_their_file(small, of_model, arrays, tmp_path):
    from_file = vae_tf.train_run(**small, run_dir=tmp_path / "file")
    from_arrays = vae_tf.train_run(**arrays, **of_model, run_dir=tmp_path / "arrays")

    assert repeatable(from_arrays.path) == repeatable(from_file.path)
    assert from_arrays.splits.spec == from_file.splits.spec


@pytest.mark.slow
def test_a_run_on_arrays_can_be_moved_and_evaluated(of_model, arrays, tmp_path):
    train = tf.data.Dataset.from_tensor_slices((arrays["x"][..., np.newaxis], arrays["y"])).batch(40)
    run = vae_tf.train_run(x=train, x_test=arrays["x_test"], **{**of_model, "epochs": 1}, run_dir=tmp_path / "run")
    moved = run.path.rename(tmp_path / "moved")

    metrics = vae_tf.evaluate_run(moved, nll_images=5, nll_samples=5).metrics["metrics"]
    assert metrics["elbo"]["num_examples"] == 90
    np.testing.assert_array_equal(vae_tf.load_run(moved).splits.train_and_val.labels, arrays["y"])


@pytest.mark.slow
def test_a_run_on_arrays_resumes_with_them_and_refuses_others(of_model, arrays, tmp_path):
    run = vae_tf.train_run(**arrays, **{**of_model, "epochs": 1}, run_dir=tmp_path / "run")
    with pytest.raises(InputError, match="A run must resume with the data it started with"):
        vae_tf.train_run(**{**arrays, "x": 255 - arrays["x"]}, **of_model, run_dir=tmp_path / "run")
    extended = vae_tf.train_run(**arrays, **of_model, run_dir=tmp_path / "run")

    assert len(extended.history) == 2
    with np.load(run.path / "data.npz") as data:
        np.testing.assert_array_equal(data["x_train"], arrays["x"])


@pytest.mark.slow
def test_overwriting_a_run_on_arrays_removes_them(small, of_model, arrays, tmp_path):
    run = vae_tf.train_run(**arrays, **{**of_model, "epochs": 1}, run_dir=tmp_path / "run")
    vae_tf.train_run(**{**small, "epochs": 1}, run_dir=tmp_path / "run", overwrite=True)

    assert not (run.path / "data.npz").exists()
    assert run.folder.read_config().data_dir == small["data_dir"]


def test_overwriting_a_run_does_not_remove_the_data_it_reads(of_model, arrays, tmp_path):
    run = vae_tf.train_run(**arrays, **{**of_model, "epochs": 1}, run_dir=tmp_path / "run")
    own_data = {"dataset": "npz", "data_dir": run.path / "data.npz"}

    with pytest.raises(InputError, match=r"overwrite would remove the data. Received: .*data\.npz"):
        vae_tf.train_run(**own_data, **of_model, run_dir=run.path, overwrite=True)
    assert vae_tf.load_run(run.path).splits.spec.num_test == 90


@pytest.mark.parametrize(
    ("remove", "options", "message"),
    [
        ("x_test", {}, "x and x_test must be passed together. Received: x and y and y_test"),
        ("x", {}, "x and x_test must be passed together. Received: x_test and y and y_test"),
        ("", {"dataset": "mnist"}, "dataset can't be combined with x, which replaces it. Received: dataset=mnist"),
        ("", {"data_dir": "images"}, "data_dir can't be combined with x"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arrays, remove, options, message, tmp_path):
    passed = {name: value for name, value in arrays.items() if name != remove}
    with pytest.raises(InputError, match=message):
        vae_tf.train_run(**passed, **options, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_built_model_is_the_run_of_the_options_that_describe_it(small, tmp_path):
    expected = vae_tf.train_run(**small, run_dir=tmp_path / "options")
    keras.utils.set_random_seed(0)
    model = vae_tf.build_vae((8, 10, 1), latent_dim=3, arch="dense", hidden_sizes=(16,))
    of_data = {name: small[name] for name in ("dataset", "data_dir", "epochs", "batch_size")}
    run = vae_tf.train_run(model=model, **of_data, run_dir=tmp_path / "model")

    assert repeatable(run.path) == repeatable(expected.path)
    np.testing.assert_array_equal(run.model.sample(3, seed=0), model.sample(3, seed=0))
    assert run.config.arch == "custom"


@pytest.mark.slow
def test_a_run_of_a_built_model_starts_from_its_weights_and_resumes(small, tmp_path):
    of_data = {name: small[name] for name in ("dataset", "data_dir", "batch_size")}
    trained = vae_tf.train_run(**small, run_dir=tmp_path / "first")
    tuned = vae_tf.train_run(model=trained.model, **of_data, epochs=1, learning_rate=1e-9, run_dir=tmp_path / "tuned")
    untrained = vae_tf.build_vae((8, 10, 1), latent_dim=3, arch="dense", hidden_sizes=(16,))
    extended = vae_tf.train_run(model=untrained, **of_data, epochs=2, learning_rate=1e-9, run_dir=tmp_path / "tuned")

    first, second = extended.history
    assert first == tuned.history[0]
    for row in (first, second):
        assert row["val_loss"] == pytest.approx(trained.history[-1]["val_loss"], rel=1e-3)


def test_options_of_a_built_model_are_refused_and_its_arch_is_not_for_the_command(small, command, of_images, tmp_path):
    model = vae_tf.build_vae((8, 10, 1), latent_dim=3, arch="dense", hidden_sizes=(16,))
    with pytest.raises(
        InputError, match=r"arch can't be combined with model, which replaces it\. Received: arch=dense"
    ):
        vae_tf.train_run(model=model, **small, run_dir=tmp_path / "run")
    words = ("--dataset", "npz", *of_images[:2], "--arch", "custom", "--run-dir", tmp_path / "run")
    assert "arch=custom stands for a model that is built in Python" in command("train", *words).error


# TensorBoard


def test_tensorboard_shows_the_history_the_figures_and_the_test_metrics(small, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = vae_tf.train_run(**small, run_dir=tmp_path / "run", tensorboard=True)
    [test_elbo] = re.findall(r"Test ELBO (\S+)", capsys.readouterr().out)
    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    written = {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }

    for name in (*LOSSES, *VAL_LOSSES, *CLOCK):
        expected = [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in run.history]
        assert [(step, float(value)) for step, value in written[name]] == expected
    [(step, value)] = written["test_elbo"]
    assert (step, f"{value:.2f}") == (2, test_elbo)
    for kind in ("samples", "reconstructions"):
        assert [step for step, _ in written[kind]] == [1, 2]
        width, height, png = written[kind][-1][1]
        shown = tf.io.decode_png(png).numpy()
        with Image.open(run.path / kind / "epoch_0002.png") as figure:
            np.testing.assert_array_equal(shown, np.asarray(figure))
        assert (int(height), int(width)) == shown.shape[:2]


def test_tensorboard_is_asked_for_in_one_line_if_it_is_missing(command, of_images, monkeypatch, tmp_path):
    monkeypatch.setattr("vae_tf.train.find_spec", lambda name: None)
    ended = command("train", *of_images, "--tensorboard", "--run-dir", tmp_path / "run")

    assert "--tensorboard needs TensorBoard, which is not installed; run pip install '.[tensorboard]'" in ended.error


@pytest.mark.slow
def test_overwriting_removes_the_files_of_tensorboard(small, tmp_path):
    run = vae_tf.train_run(**{**small, "epochs": 1}, run_dir=tmp_path / "run", tensorboard=True)
    vae_tf.train_run(**{**small, "epochs": 1}, run_dir=tmp_path / "run", overwrite=True)

    assert not (run.path / "tensorboard").exists()
