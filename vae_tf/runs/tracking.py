"""Logs a run to MLflow: its parameters, the metrics of every epoch, figures, and the metrics on the test set.

MLflow writes to `MLFLOW_TRACKING_URI` if set, otherwise to a store in the working folder, which `mlflow ui` opens if
started in that folder. An Azure ML job sets that variable and `MLFLOW_RUN_ID`: the MLflow run then belongs to the job,
and the service decides where it is stored, which experiment it belongs to and when it ends.
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
from vae_tf.support.redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

EPOCH_METRICS = (*LOSSES, *(f"val_{name}" for name in LOSSES), "seconds", "images_per_second")
TEST_METRICS = ("test_elbo", "test_reconstruction_loss", "test_kl_loss")
# All metric names that a sweep or a chart can use.
LOGGED_METRICS = (*EPOCH_METRICS, *TEST_METRICS)

TRACKING_URI_VAR = "MLFLOW_TRACKING_URI"
RUN_ID_VAR = "MLFLOW_RUN_ID"
EXPERIMENT_ID_VAR = "MLFLOW_EXPERIMENT_ID"
EXPERIMENT_NAME_VAR = "MLFLOW_EXPERIMENT_NAME"
DEFAULT_EXPERIMENT = "vae_tf"
SETTINGS = {
    # Data is sent only to the tracking store.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Otherwise MLflow prints URLs in the middle of the epoch lines.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's default, 7 retries of 120 s each, would block training for minutes if the server does not respond.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}
# After a failure, tracking pauses for this multiple of the duration of the failed attempt, so that at most 2% of the
# training time is lost.
PAUSE_FACTOR = 50
MAX_REASON_LENGTH = 120


def name_test_metrics(test: Mapping[str, float]) -> dict[str, float]:
    """Returns the metrics on the test set under the names that are logged.

    Args:
        test: The result of the model's `evaluate`; its `loss` is the negative ELBO.
    """
    values = (-test["loss"], test["reconstruction_loss"], test["kl_loss"])
    return dict(zip(TEST_METRICS, values, strict=True))


def should_track(*, requested: bool) -> bool:
    """Returns whether to track the run: if the user requests it, or if the process is already in an MLflow run.

    Args:
        requested: Whether the user requests tracking.

    Raises:
        InputError: The user requests tracking, but MLflow is not installed.
    """
    # mlflow-skinny has no database support, and therefore no local store.
    packages = ("mlflow",) if TRACKING_URI_VAR in os.environ else ("mlflow", "sqlalchemy")
    if requested and not all(map(find_spec, packages)):
        raise InputError(
            "--track needs MLflow, which is not installed; run pip install '.[track]' in the folder that contains "
            "vae_tf's pyproject.toml"
        )
    return requested or bool(os.environ.get(RUN_ID_VAR))


class _Run(NamedTuple):
    client: "MlflowClient"
    id: str
    params: Mapping[str, str]
    should_terminate: bool


class Tracker:
    """Logs one run to MLflow, as a context manager around training.

    If MLflow fails, this prints a one-line warning, and training continues.

    Args:
        config: The run's config, with all defaults filled in.
        run_dir: The run folder; a new MLflow run gets its name.
        is_enabled: Whether to track. If false, nothing is logged and MLflow is not imported.
        run_id: ID of the MLflow run to resume, if any.
    """

    def __init__(self, config: RunConfig, run_dir: Path, *, is_enabled: bool, run_id: str | None = None) -> None:
        self._resumed_run_id = run_id
        self._config = config
        self._run_dir = run_dir
        self._is_enabled = is_enabled
        self._has_failed = False
        self._paused_until = 0.0

    def __enter__(self) -> Self:
        if self._is_enabled:
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
        """ID of the MLflow run; `None` if tracking is disabled or the run does not exist yet."""
        return self._run.id if "_run" in vars(self) else None

    def log_epoch(self, row: Mapping[str, Any]) -> None:
        """Logs a row of `history.csv`; its numbers become metrics at the step `epoch`."""
        metrics = {name: value for name, value in row.items() if name not in ("epoch", "stage")}
        self._attempt(lambda run: _log_metrics(run, metrics, int(row["epoch"])))

    def log_image(self, path: Path) -> None:
        """Logs an image file of the run folder under its relative path."""
        folder = path.parent.relative_to(self._run_dir).as_posix()
        self._attempt(lambda run: run.client.log_artifact(run.id, str(path), None if folder == "." else folder))

    def log_test(self, test: Mapping[str, float]) -> None:
        """Logs the metrics on the test set; their step is the last epoch.

        Args:
            test: The result of the model's `evaluate`.
        """
        metrics = name_test_metrics(test)
        self._paused_until = 0.0  # these metrics matter most, so log them even while tracking is paused
        self._attempt(lambda run: _log_metrics(run, metrics, self._config.epochs))

    @cached_property
    def _run(self) -> _Run:
        """The MLflow run to log to."""
        from mlflow import MlflowClient

        client = MlflowClient()
        job_run_id = os.environ.get(RUN_ID_VAR)
        run_id = job_run_id or self._resumed_run_id
        name = redact(self._run_dir.name)
        run = (
            client.get_run(run_id) if run_id else client.create_run(_get_or_create_experiment_id(client), run_name=name)
        )
        hint = "" if TRACKING_URI_VAR in os.environ else " (view it with `mlflow ui`)"
        print(f"Logging to MLflow run {run.info.run_name}{hint}", flush=True)
        return _Run(client, run.info.run_id, run.data.params, should_terminate=not job_run_id)

    @cached_property
    def _run_with_params(self) -> _Run:
        """The MLflow run, after logging its parameters. If logging them fails, the next attempt retries."""
        from mlflow.entities import Param

        run = self._run
        params = {name: str(value) for name, value in self._config.model_dump(mode="json").items()}
        # MLflow rejects changes to a logged parameter. If a job is retried, its parameters are already logged,
        # sometimes with different values.
        new = [Param(name, value) for name, value in params.items() if name not in run.params]  # type: ignore[no-untyped-call]
        run.client.log_batch(run.id, params=new)
        return run

    def _end(self, run: _Run, status: str) -> None:
        if run.should_terminate:
            run.client.set_terminated(run.id, status)

    def _attempt(self, action: Callable[[_Run], None]) -> None:
        """Runs an action on the MLflow run. If it fails, prints a warning (only once) and pauses tracking."""
        start = time.monotonic()
        if not self._is_enabled or start < self._paused_until:
            return
        try:
            with _silence_logging():
                action(self._run_with_params)
        except Exception as error:  # any error of MLflow, its stores or the connection
            now = time.monotonic()
            self._paused_until = now + PAUSE_FACTOR * (now - start)
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._has_failed:
            reason = " ".join(redact(f"{type(error).__name__}: {error}").split())[:MAX_REASON_LENGTH]
            print(f"warning: tracking failed, training continues ({reason})", file=sys.stderr, flush=True)
        self._has_failed = True


@contextmanager
def _silence_logging() -> Iterator[None]:
    """Silences MLflow, urllib3 and the Azure SDK, which log forty lines about a single failed request."""
    previous_level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(previous_level)


def _get_or_create_experiment_id(client: "MlflowClient") -> str:
    """Returns the ID of the user's experiment, by default `vae_tf`; creates the experiment if it does not exist."""
    if experiment_id := os.environ.get(EXPERIMENT_ID_VAR):
        return experiment_id
    name = os.environ.get(EXPERIMENT_NAME_VAR, DEFAULT_EXPERIMENT)
    existing = client.get_experiment_by_name(name)
    return existing.experiment_id if existing else client.create_experiment(name)


def _log_metrics(run: _Run, metrics: Mapping[str, float], step: int) -> None:
    from mlflow.entities import Metric

    now = round(time.time() * 1000)
    run.client.log_batch(run.id, metrics=[Metric(name, value, now, step) for name, value in metrics.items()])
