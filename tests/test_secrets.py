"""Secrets are planted where a run could pick them up, and looked for in everything that it leaves behind."""

import json
import os
import shutil
import socket
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import mlflow
import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.report import experiment
from vae_tf.runs import tracking
from vae_tf.runs.new_run import create_run_dir
from vae_tf.runs.tracking import Tracker

ROOT = Path(vae_tf.__file__).resolve().parents[1]
# Not in one piece, so that the scanner of the tree does not take them for real ones.
TOKEN, SIGNATURE, PASSWORD = ("-".join(("planted", what, "f3Kq9ZtX2b")) for what in ("token", "signature", "password"))
SECRETS = (TOKEN, SIGNATURE, PASSWORD)
SIGNED = f"https://x.blob.core.windows.net/c?sv=2024-01-01&sp=rl&sig={SIGNATURE}"
ENVIRONMENT = {"AZURE_CLIENT_SECRET": PASSWORD, "STORAGE_ACCESS_TOKEN": TOKEN}


@pytest.fixture(scope="module")
def left_behind(made_once, command, images):
    """What training with tracking and evaluating print, and their folder, with secrets in the path of the data."""

    def make(folder):
        data = folder / "data" / TOKEN / SIGNED / "tiny.npz"
        data.parent.mkdir(parents=True)
        shutil.copy(images / "images.npz", data)  # whose features the tests share
        options = f"--dataset npz --data-dir {data} --arch dense --hidden-sizes 6 --latent-dim 2 --epochs 2"
        ended = {}
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
                patch.delenv(name)
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
            for name, words in {
                "trained": f"train {options} --run-dir runs/x --track",
                "evaluated": f"evaluate --run runs/x --data-dir {data} --nll-images 4 --nll-samples 5",
                "moved": "evaluate --run runs/x",
                "missing": f"train --dataset npz --data-dir {data}.missing",
            }.items():
                ended[name] = command(*words.split(), cwd=folder)
        (folder / "data" / "ended.json").write_text(json.dumps(ended))

    folder = made_once("secrets", make)
    ended = json.loads((folder / "data" / "ended.json").read_text())
    return SimpleNamespace(folder=folder, ended={name: Ended(*values) for name, values in ended.items()})


class Ended(NamedTuple):
    status: int
    stdout: str
    stderr: str


def write_images(path):
    path.parent.mkdir(parents=True)
    pixels, labels = np.random.default_rng(0).integers(0, 256, (120, 8, 8), dtype=np.uint8), np.arange(60) % 2
    np.savez(path, x_train=pixels[:60], x_test=pixels[60:], y_train=labels, y_test=labels)


def texts(path):
    """The bytes of a file, and of the files in it."""
    yield path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from map(archive.read, archive.namelist())


def is_in(secret, path):
    return secret in str(path) or any(secret.encode() in text for text in texts(path))


@pytest.mark.slow
def test_the_commands_do_what_they_do_without_secrets(left_behind):
    assert (left_behind.ended["trained"].status, left_behind.ended["trained"].stderr) == (0, "")
    assert left_behind.ended["evaluated"].status == 0
    files = {path.name for path in left_behind.folder.rglob("*")}
    assert {"config.yml", "history.csv", "model.keras", "metrics.json", "report.html", "mlflow.db"} <= files


@pytest.mark.slow
def test_no_file_holds_a_secret(left_behind):
    files = [path for path in left_behind.folder.rglob("*") if path.is_file() and "data" not in path.parts]
    assert len(files) > 10
    for secret in SECRETS:
        holding = [
            path for path in files if any(secret.encode() in text for text in texts(path)) or secret in str(path)
        ]
        assert holding == []


@pytest.mark.slow
def test_nothing_printed_holds_a_secret(left_behind):
    printed = [text for ended in left_behind.ended.values() for text in (ended.stdout, ended.stderr)]
    assert [text for text in printed for secret in SECRETS if secret in text] == []


@pytest.mark.slow
def test_the_config_says_where_something_was_left_out(left_behind):
    config = RunConfig.from_yaml(left_behind.folder / "runs" / "x" / "config.yml")
    assert config.data_dir == f"{left_behind.folder}/data/[redacted]/https:/x.blob.core.windows.net/c?[redacted]"


@pytest.mark.slow
@pytest.mark.parametrize("refused", ["moved", "missing"])
def test_data_that_is_not_found_is_one_line_without_its_secrets(left_behind, refused):
    ended = left_behind.ended[refused]
    assert ended.status == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: data_dir must ")
    assert "[redacted]" in line


@pytest.mark.parametrize(
    "place", [f"http://user:{PASSWORD}@127.0.0.1:PORT", f"http://127.0.0.1:PORT/a?sv=1&sig={SIGNATURE}"]
)
def test_a_warning_of_tracking_holds_no_secret(place, monkeypatch, tmp_path, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and never listened on
        monkeypatch.setenv(tracking.TRACKING_URI_VAR, place.replace("PORT", str(closed.getsockname()[1])))
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with Tracker(RunConfig(), tmp_path, is_enabled=True):
            pass
    warning = capsys.readouterr().err
    assert warning.startswith("warning: tracking failed, training continues (")
    assert not any(secret in warning for secret in SECRETS)


def test_what_mlflow_raises_is_cut_after_its_secrets_are_left_out(monkeypatch, tmp_path, capsys):
    def refuse():
        raise ConnectionError("x" * 90 + TOKEN)

    monkeypatch.setenv("STORAGE_ACCESS_TOKEN", TOKEN)
    monkeypatch.setattr(mlflow, "MlflowClient", refuse)
    with Tracker(RunConfig(), tmp_path, is_enabled=True):
        pass
    warning = capsys.readouterr().err
    assert "x[redacted]" in warning
    assert TOKEN[:7] not in warning


@pytest.mark.slow
def test_a_run_that_is_tracked_is_not_named_by_a_secret(left_behind, monkeypatch, tmp_path):
    shutil.copy(left_behind.folder / "mlflow.db", tmp_path)  # making one takes seconds
    monkeypatch.setenv("STORAGE_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv(tracking.TRACKING_URI_VAR, f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    with Tracker(RunConfig(), Path("runs", f"x-{TOKEN}"), is_enabled=True):
        pass
    kept = (tmp_path / "mlflow.db").read_bytes()
    assert b"x-[redacted]" in kept
    assert TOKEN.encode() not in kept


def test_a_run_that_compare_trains_finds_its_data_again(monkeypatch, tmp_path):
    def train(config, path):
        run = create_run_dir(path, overwrite=False)
        run.write_config(config.fill_in_defaults((8, 8, 1)))

    data = tmp_path / TOKEN / "tiny.npz"
    write_images(data)
    monkeypatch.setenv("STORAGE_ACCESS_TOKEN", TOKEN)
    monkeypatch.setattr(experiment, "run_training", train)
    [run] = experiment.train_missing({"one": RunConfig(dataset="npz", data_dir=str(data))}, tmp_path / "out")
    assert run.read_config().data_dir == str(data)
    assert TOKEN not in (run.path / "config.yml").read_text()
