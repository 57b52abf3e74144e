"""Logs a run to MLflow: its parameters, the metrics of every epoch, figures, and the metrics on the test set.

MLflow writes to `MLFLOW_TRACKING_URI` if set, otherwise to a store in the working folder, which `mlflow ui` opens
there. An Azure ML job sets that variable and `MLFLOW_RUN_ID`: the MLflow run is then the job's own, and the service
decides its location, its experiment and when it ends.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from vae_tf.config import RunConfig
from vae_tf.registry import LOSSES
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.support.redaction import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient

EPOCH_METRICS = (*LOSSES, *(f"val_{name}" for name in LOSSES), "seconds", "images_per_second")
TEST_METRICS = ("test_elbo", "test_reconstruction_loss", "test_kl_loss")
# Every name that a sweep or a chart can use.
LOGGED_METRICS = (*EPOCH_METRICS, *TEST_METRICS)

PLACE = "MLFLOW_TRACKING_URI"
RUN_ID = "MLFLOW_RUN_ID"
EXPERIMENT_ID = "MLFLOW_EXPERIMENT_ID"
EXPERIMENT_NAME = "MLFLOW_EXPERIMENT_NAME"
DEFAULT_EXPERIMENT = "vae_tf"
SETTINGS = {
    # Nothing is sent anywhere but to the tracking store.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Otherwise it prints links between the lines of the epochs.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's default, 7 retries of 120 s, would block training for minutes if the server does not answer.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
# After a failure, tracking pauses for this many times the duration of the failed attempt, so that at most 2% of the
# training time is lost.
REST = 50
LONGEST_REASON = 120


def is_on(*, asked: bool) -> bool:
    """Returns whether to track the run: if the user asks for it, or if the process is already in an MLflow run.

    Args:
        asked: Whether the user asks for it.

    Raises:
        InputError: The user asks for tracking, but MLflow is not installed.
    """
    # mlflow-skinny has no database, and therefore no store of its own.
    needed = ("mlflow",) if PLACE in os.environ else ("mlflow", "sqlalchemy")
    if asked and not all(map(find_spec, needed)):
        raise InputError("--track needs MLflow. Received: an environment without it; pip install 'vae_tf[track]'")
    return asked or bool(os.environ.get(RUN_ID))


class _Run(NamedTuple):
    client: "MlflowClient"
    id: str
    params: Mapping[str, str]
    is_ours: bool


class Tracker:
    """Logs one run to MLflow, as a context manager around training.

    If MLflow fails, this prints a warning of one line and raises nothing.

    Args:
        config: The run's config, resolved.
        run_dir: The run folder; a new MLflow run gets its name.
        on: Whether to track. If not, nothing happens and MLflow is not imported.
        run_id: ID of the MLflow run to resume, if any.
    """

    def __init__(self, config: RunConfig, run_dir: Path, *, on: bool, run_id: str | None = None) -> None:
        self._begun_id = run_id
        self._config = config
        self._run_dir = run_dir
        self._on = on
        self._failed = False
        self._rests_until = 0.0

    def __enter__(self) -> Self:
        if self._on:
            for name, value in SETTINGS.items():
                os.environ.setdefault(name, value)
        self._attempt(lambda run: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = "KILLED" if isinstance(error, Interrupted) else "FAILED" if error else "FINISHED"
        self._attempt(lambda run: self._end(run, status))

    @property
    def run_id(self) -> str | None:
        """ID of the MLflow run that is logged to; `None` if there is none, or none yet."""
        return self._run.id if "_run" in vars(self) else None

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Logs a row of `history.csv`; its numbers become metrics at the step `epoch`."""
        metrics = {name: value for name, value in row.items() if name not in ("epoch", "stage")}
        self._attempt(lambda run: _log_metrics(run, metrics, int(row["epoch"])))

    def log_image(self, path: Path) -> None:
        """Logs an image file of the run folder under its path in the folder."""
        folder = path.parent.relative_to(self._run_dir).as_posix()
        self._attempt(lambda run: run.client.log_artifact(run.id, str(path), None if folder == "." else folder))

    def log_test(self, test: Mapping[str, float]) -> None:
        """Logs the metrics on the test set at the step of the last epoch.

        Args:
            test: The result of the model's `evaluate`; its `loss` is minus the ELBO.
        """
        values = (-test["loss"], test["reconstruction_loss"], test["kl_loss"])
        metrics = dict(zip(TEST_METRICS, values, strict=True))
        self._rests_until = 0.0  # these matter most, so try even while tracking is paused
        self._attempt(lambda run: _log_metrics(run, metrics, self._config.epochs))

    @cached_property
    def _run(self) -> _Run:
        """The MLflow run to log to."""
        from mlflow import MlflowClient

        client = MlflowClient()
        given = os.environ.get(RUN_ID)
        known = given or self._begun_id
        name = redacted(self._run_dir.name)
        run = client.get_run(known) if known else client.create_run(_experiment(client), run_name=name)
        hint = "" if PLACE in os.environ else "; mlflow ui shows it"
        print(f"Tracked MLflow run {run.info.run_name}{hint}", flush=True)
        return _Run(client, run.info.run_id, run.data.params, is_ours=not given)

    @cached_property
    def _described_run(self) -> _Run:
        """The MLflow run with its parameters logged. If that fails, the next attempt tries it again."""
        from mlflow.entities import Param

        run = self._run
        params = {name: str(value) for name, value in self._config.model_dump(mode="json").items()}
        # MLflow refuses to change a logged parameter. The retry of a job finds its parameters logged already,
        # sometimes with other values.
        new = [Param(name, value) for name, value in params.items() if name not in run.params]  # type: ignore[no-untyped-call]
        run.client.log_batch(run.id, params=new)
        return run

    def _end(self, run: _Run, status: str) -> None:
        if run.is_ours:
            run.client.set_terminated(run.id, status)

    def _attempt(self, action: Callable[[_Run], None]) -> None:
        """Runs an action on the MLflow run. If it fails, warns once and pauses tracking for a while."""
        began = time.monotonic()
        if not self._on or began < self._rests_until:
            return
        try:
            with _no_log():
                action(self._described_run)
        except Exception as error:  # whatever MLflow, its stores and the network raise
            now = time.monotonic()
            self._rests_until = now + REST * (now - began)
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._failed:
            reason = " ".join(redacted(f"{type(error).__name__}: {error}").split())[:LONGEST_REASON]
            print(f"warning: tracking fails, training goes on ({reason})", file=sys.stderr, flush=True)
        self._failed = True


@contextmanager
def _no_log() -> Iterator[None]:
    """Silences MLflow, urllib3 and the Azure SDK, which log forty lines about a single refused request."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _experiment(client: "MlflowClient") -> str:
    """Returns the ID of the user's experiment, by default the package's; creates it if it does not exist."""
    if given := os.environ.get(EXPERIMENT_ID):
        return given
    name = os.environ.get(EXPERIMENT_NAME, DEFAULT_EXPERIMENT)
    there = client.get_experiment_by_name(name)
    return there.experiment_id if there else client.create_experiment(name)


def _log_metrics(run: _Run, metrics: Mapping[str, float], step: int) -> None:
    from mlflow.entities import Metric

    now = round(time.time() * 1000)
    run.client.log_batch(run.id, metrics=[Metric(name, value, now, step) for name, value in metrics.items()])
