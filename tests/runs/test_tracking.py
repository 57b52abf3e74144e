"""What is logged of a run in MLflow, read back through its client, and what happens if it can't be logged."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_arrays
from vae_tf.runs import tracking
from vae_tf.runs.tracking import Tracker
from vae_tf.support import cli
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.train import COMMAND, TrainOptions, main
from vae_tf.training.run import run_training

ROOT = Path(vae_tf.__file__).resolve().parents[1]
EPOCHS = 3
SMALL = {"dataset": "npz", "arch": "dense", "hidden_sizes": (6,), "latent_dim": 2, "epochs": EPOCHS, "sample_every": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracking")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(folder / "tiny.npz", x_train=images[:40], x_test=images[40:])
    return folder


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """No run and no place of tracking but those of the test."""
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


def config(folder, **changes) -> RunConfig:
    return RunConfig(**{**SMALL, "data_dir": str(folder / "tiny.npz"), **changes})


@pytest.fixture(scope="module")
def local(folder):
    """A run with track=True, and what MLflow has of it in the store of the folder."""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        for name in (
            tracking.TRACKING_URI_VAR,
            tracking.RUN_ID_VAR,
            tracking.EXPERIMENT_ID_VAR,
            tracking.EXPERIMENT_NAME_VAR,
        ):
            patch.delenv(name, raising=False)
        run_dir = run_training(config(folder), Path("runs/first"), track=True).path.resolve()
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("vae_tf")
    [run] = client.search_runs([experiment.experiment_id], "attributes.run_name = 'first'")
    return SimpleNamespace(client=client, run=run, run_dir=vae_tf.runs.run_dir.RunDir(run_dir))


def test_parameters_are_those_of_the_config_of_the_run(local):
    written = yaml.safe_load((local.run_dir.path / "config.yml").read_text())
    del written["format_version"]  # of the file
    assert local.run.data.params == {name: str(value) for name, value in written.items()}


@pytest.mark.parametrize("name", tracking.EPOCH_METRICS)
def test_metrics_by_epoch_are_the_columns_of_the_history(local, name):
    told = [(metric.step, metric.value) for metric in local.client.get_metric_history(local.run.info.run_id, name)]
    assert told == [(row["epoch"], row[name]) for row in local.run_dir.read_history()]
    assert len(told) == EPOCHS


def test_logged_metrics_names_all_there_are(local):
    assert set(local.run.data.metrics) == set(tracking.LOGGED_METRICS)


def test_test_metrics_are_those_of_the_saved_model(local, folder):
    _, (x_test, _) = load_arrays("npz", str(folder / "tiny.npz"))
    model = local.run_dir.load_model()
    model.compile()
    loss, reconstruction, kl = model.evaluate(x_test, batch_size=128, verbose=0)
    told = local.run.data.metrics
    assert told["test_elbo"] == pytest.approx(-loss, rel=1e-5)
    assert told["test_reconstruction_loss"] == pytest.approx(reconstruction, rel=1e-5)
    assert told["test_kl_loss"] == pytest.approx(kl, rel=1e-5)


def test_figures_are_those_of_the_run_folder(local, tmp_path):
    there = Path(local.client.download_artifacts(local.run.info.run_id, "", str(tmp_path)))
    told = {path.relative_to(there): path.read_bytes() for path in there.rglob("*.png")}
    drawn = {path.relative_to(local.run_dir.path): path.read_bytes() for path in local.run_dir.path.rglob("*.png")}
    assert told == drawn
    assert len(told) == 5


def test_a_finished_run_is_finished(local):
    assert local.run.info.status == "FINISHED"


@pytest.mark.slow
def test_a_run_that_was_stopped_continues_as_the_same_run(local, folder, monkeypatch):
    def stop_after_the_second(self, epoch, logs=None):
        if epoch == 1:
            raise Interrupted(signal.SIGTERM)

    monkeypatch.setenv(tracking.TRACKING_URI_VAR, f"sqlite:///{folder}/mlflow.db")
    found = [local.run.info.experiment_id], "attributes.run_name = 'stopped'"
    with monkeypatch.context() as patch:
        patch.setattr("vae_tf.training.callbacks.EpochFigures.on_epoch_begin", stop_after_the_second)
        with pytest.raises(Interrupted):
            run_training(config(folder), folder / "runs" / "stopped", track=True)
    assert [run.info.status for run in local.client.search_runs(*found)] == ["KILLED"]

    run_training(config(folder), folder / "runs" / "stopped", track=True)
    [run] = local.client.search_runs(*found)
    assert run.info.status == "FINISHED"
    steps = {metric.step for metric in local.client.get_metric_history(run.info.run_id, "loss")}
    assert steps == set(range(1, EPOCHS + 1))


def test_a_run_that_diverges_has_failed(local, folder, monkeypatch):
    monkeypatch.setenv(tracking.TRACKING_URI_VAR, f"sqlite:///{folder}/mlflow.db")
    with pytest.raises(InputError, match="diverged"):
        run_training(config(folder, learning_rate=1e30, variant="plain"), folder / "runs" / "wild", track=True)
    [run] = local.client.search_runs([local.run.info.experiment_id], "attributes.run_name = 'wild'")
    assert run.info.status == "FAILED"


@pytest.fixture
def job(local, folder, monkeypatch):
    """A run that is there already, named by the environment as an Azure ML job has it."""
    created = local.client.create_run(local.run.info.experiment_id, run_name="job")
    monkeypatch.setenv(tracking.TRACKING_URI_VAR, f"sqlite:///{folder}/mlflow.db")
    monkeypatch.setenv(tracking.RUN_ID_VAR, created.info.run_id)
    return SimpleNamespace(read=lambda: local.client.get_run(created.info.run_id))


def test_in_a_job_a_run_is_tracked_without_being_asked(job, folder, tmp_path):
    run_training(config(folder), tmp_path / "run")
    assert set(job.read().data.metrics) == set(tracking.LOGGED_METRICS)


@pytest.mark.slow
def test_a_job_is_ended_by_its_service(job, folder, tmp_path):
    run_training(config(folder), tmp_path / "run")
    assert job.read().info.status == "RUNNING"


@pytest.mark.slow
def test_the_retry_of_a_job_keeps_its_parameters_and_continues(job, folder, tmp_path, capsys):
    run_training(config(folder, epochs=1), tmp_path / "first")
    run_training(config(folder, epochs=2), tmp_path / "second")
    told = job.read().data
    assert told.params["epochs"] == "1"
    assert told.metrics["loss"] == vae_tf.runs.run_dir.RunDir(tmp_path / "second").read_history()[-1]["loss"]
    assert capsys.readouterr().err == ""


def test_the_place_and_the_experiment_of_a_job_are_left_alone(job, folder, tmp_path, monkeypatch, capsys):
    called = []
    for name in ("set_tracking_uri", "set_experiment", "start_run", "log_model"):
        monkeypatch.setattr(mlflow, name, lambda *args, name=name, **kwargs: called.append(name), raising=False)
    before = mlflow.get_tracking_uri()
    run_training(config(folder), tmp_path / "run")
    assert called == []
    assert mlflow.get_tracking_uri() == before
    assert len([line for line in capsys.readouterr().out.splitlines() if "MLflow" in line]) == 1


def test_without_tracking_mlflow_is_not_imported(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    run_training(config(folder), tmp_path / "run")
    captured = capsys.readouterr()
    assert "MLflow" not in captured.out
    assert captured.err == ""


def test_a_job_without_mlflow_warns_and_trains(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(tracking.RUN_ID_VAR, "0" * 32)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    run = run_training(config(folder), tmp_path / "run")
    assert len(run.read_history()) == EPOCHS
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: tracking failed, training continues (")


@pytest.mark.parametrize("missing", ["mlflow", "sqlalchemy"])
def test_asking_without_mlflow_is_one_line_with_status_2(folder, tmp_path, monkeypatch, capsys, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr("vae_tf.training.run.load_tensorflow", lambda: pytest.fail("TensorFlow loads"))
    words = f"--track --dataset npz --data-dir {folder / 'tiny.npz'} --run-dir {tmp_path / 'run'}"
    monkeypatch.setattr(sys, "argv", ["train.py", *words.split()])
    with pytest.raises(SystemExit) as ended:
        cli.run(main, TrainOptions, COMMAND)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --track needs MLflow, which is not installed;")
    assert "pip install '.[track]'" in line


def test_mlflow_skinny_does_where_the_place_is_elsewhere(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.setenv(tracking.TRACKING_URI_VAR, "http://127.0.0.1:5000")
    assert tracking.should_track(requested=True)


@pytest.mark.slow
def test_nobody_answering_costs_one_warning(folder, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # taken, and never listened on
        place = f"http://127.0.0.1:{closed.getsockname()[1]}"
        words = f"--dataset npz --data-dir {folder / 'tiny.npz'} --arch dense --epochs 2 --track --run-dir run"
        ended = subprocess.run(
            [sys.executable, "-m", "vae_tf.train", *words.split()],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), tracking.TRACKING_URI_VAR: place},
        )
    assert ended.returncode == 0
    [line] = [line for line in ended.stderr.splitlines() if "latent dimensions are active" not in line]
    assert line.startswith("warning: tracking failed, training continues (")
    assert "Logging to MLflow" not in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_what_libraries_log_meanwhile_is_not_shown(folder, tmp_path, monkeypatch, caplog):
    def refuse():
        logging.getLogger("azure.identity").warning("forty lines")
        raise ConnectionError

    monkeypatch.setattr(mlflow, "MlflowClient", refuse)
    with Tracker(config(folder), tmp_path, is_enabled=True):
        logging.getLogger("another").warning("still heard")
    assert caplog.messages == ["still heard"]


class Clock:
    """A clock that moves when told."""

    now = 0.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now


def test_failures_cost_at_most_two_percent_of_the_time(folder, tmp_path, monkeypatch):
    clock = Clock()
    lost = 0.0

    class Silent:
        """A client whose every call takes ten seconds and fails."""

        def __init__(self):
            nonlocal lost
            clock.now += 10
            lost += 10
            raise ConnectionError

    monkeypatch.setattr(mlflow, "MlflowClient", Silent)
    monkeypatch.setattr(tracking, "time", clock)
    with Tracker(config(folder), tmp_path, is_enabled=True) as tracker:
        for epoch in range(1000):
            clock.now += 5
            tracker.log_epoch({"epoch": epoch + 1, "loss": 1.0})
    assert 10 < lost <= 10 + 0.02 * clock.now


def test_a_run_found_late_still_gets_its_parameters(local, folder, tmp_path, monkeypatch):
    monkeypatch.setenv(tracking.TRACKING_URI_VAR, f"sqlite:///{folder}/mlflow.db")
    monkeypatch.setattr(tracking, "PAUSE_FACTOR", 0)
    (tmp_path / "late").mkdir()
    with monkeypatch.context() as at_first:
        at_first.setitem(sys.modules, "mlflow", None)
        tracker = Tracker(config(folder), tmp_path / "late", is_enabled=True).__enter__()
    tracker.log_epoch({"epoch": 1, "loss": 2.0})
    [run] = local.client.search_runs([local.run.info.experiment_id], "attributes.run_name = 'late'")
    assert run.data.params["latent_dim"] == "2"
    assert run.data.metrics == {"loss": 2.0}


def test_settings_of_the_user_stay_and_the_others_are_made(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with Tracker(config(folder), tmp_path, is_enabled=True):
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_names_of_metrics_come_without_tensorflow_and_mlflow():
    code = "import sys; from vae_tf.runs.tracking import LOGGED_METRICS; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "mlflow"} & set(done.stdout.split())
