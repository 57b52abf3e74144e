"""Anomaly detection: python -m vae_tf.score --run runs/x --dataset folder --data-dir images"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from vae_tf import registry
from vae_tf.config import Config, Seed, UserPath
from vae_tf.config.base import OneOf
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.arguments import Heading
from vae_tf.support.errors import InputError
from vae_tf.support.files import atomic_write
from vae_tf.support.quiet_tensorflow import load_tensorflow
from vae_tf.support.tables import write_csv

COMMAND = "python -m vae_tf.score"
DATA = Heading("data")


class ScoreOptions(Config):
    """Score how far images are from a run's training data; the higher the score, the more anomalous the image."""

    heading = "scoring"

    run: UserPath
    """Run folder."""
    dataset: Annotated[str, OneOf("dataset", registry.DATASETS), DATA] | None = None
    """Dataset to score; accepts the same names as train. Default: the run's own dataset."""
    data_dir: Annotated[UserPath, DATA] | None = None
    """Path to the dataset."""
    split: Annotated[Literal["all", "test"], DATA] | None = None
    """Split to score. Default: all if --dataset or --data-dir is set, otherwise the test split of the run's own
    data."""
    score: Annotated[str, OneOf("score", registry.ANOMALY_SCORES)] = "mahalanobis"
    """Anomaly score: mahalanobis (distance to the run's training images) or likelihood_regret (needs no training
    images; slower)."""
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Mark as an anomaly each image whose score is above this quantile of the scores of the run's validation images:
    0.99 gives false alarms for 1% of images like the training images. Default: no threshold."""
    out: UserPath = "scores.csv"
    """CSV file to write; a PNG with the same name shows the most and the least anomalous images."""
    seed: Seed = 0
    """Random seed."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device to use: cpu, gpu, or auto, which uses a GPU if one is available."""

    @model_validator(mode="after")
    def _check_out_is_csv(self) -> Self:
        if Path(self.out).suffix != ".csv":
            raise InputError(f"out must end in .csv. Received: out={self.out}")
        return self


def _format(value: str | float) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@contextmanager
def _report_write_errors(out: Path) -> Iterator[None]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"out must be a writable file. Received: {out} ({error.strerror})") from None


def main(options: ScoreOptions) -> None:
    """Runs the command."""
    run, out = LoadedRun.open(Path(options.run)), Path(options.out)
    load_tensorflow()

    from vae_tf import plots
    from vae_tf.backend.devices import convert_runtime_errors, use_device
    from vae_tf.report import anomalies

    data = anomalies.load_scoring_data(run, options.dataset, options.data_dir, options.split)
    validation = anomalies.load_validation_data(run, options.threshold)
    use_device(options.device)
    with convert_runtime_errors():
        anomalies.check_compatible(data, run.model)
        with _report_write_errors(out):
            with atomic_write(out) as partial:  # fails early if out is not writable
                columns = anomalies.score_columns(run, data, validation, options.score, options.seed, options.threshold)
                rows = zip(*columns.values(), strict=True)
                write_csv(partial, columns, ([_format(value) for value in row] for row in rows))
            print(out)
            if data.modality.figures.shows_single_examples:
                sheet = out.with_suffix(".png")
                plots.save(anomalies.contact_sheet(data, columns["anomaly_score"]), sheet)
                print(sheet)
        if validation is None:
            reason = "run has no validation images" if run.config.val_fraction == 0 else "run's own data can't be read"
            print(f"warning: {out} has no percentiles, because the {reason}", file=sys.stderr)
        elif options.threshold is not None:
            print(anomalies.summarize_threshold(columns, data, validation, options.threshold))


if __name__ == "__main__":
    cli.run(main, ScoreOptions, COMMAND)
