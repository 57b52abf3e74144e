"""Anomaly detection: python -m vae_tf.score --run runs/x --dataset folder --data-dir images"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import model_validator

from vae_tf import registry
from vae_tf.config import Config, Seed, UserPath
from vae_tf.config.base import OneOf
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.files import replacing
from vae_tf.support.quiet_tensorflow import load_tensorflow

COMMAND = "python -m vae_tf.score"


class ScoreOptions(Config):
    """Score images by how unlike a run's training images they are; higher is more anomalous."""

    run: UserPath
    """Run folder, such as runs/x."""
    dataset: Annotated[str, OneOf("dataset", registry.DATASETS)] | None = None
    """Dataset to score, by the same names as in train. Default: the run's own dataset."""
    data_dir: UserPath | None = None
    """Where the dataset is."""
    split: Literal["all", "test"] | None = None
    """Part to score. Default: all if dataset or data_dir is set, otherwise the test split of the run's own data."""
    score: Annotated[str, OneOf("score", registry.ANOMALY_SCORES)] = "mahalanobis"
    """mahalanobis (distance to the run's training images) or likelihood_regret (needs no training images; slower)."""
    out: UserPath = "scores.csv"
    """Table to write, .csv; a .png of the same name shows the most and the least anomalous images."""
    seed: Seed = 0
    """Seed of all draws."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device to compute on; auto uses a GPU if there is one."""

    @model_validator(mode="after")
    def _a_table(self) -> Self:
        if Path(self.out).suffix != ".csv":
            raise InputError(f"out must end in .csv. Received: out={self.out}")
        return self


def _write_table(columns: dict[str, Any], path: Path) -> None:
    # surrogateescape restores the bytes of file names that are not valid UTF-8.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in row])


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"out must be a file that can be written. Received: {out} ({error.strerror})") from None


def main(options: ScoreOptions) -> None:
    """Runs the command."""
    run, out = LoadedRun.open(Path(options.run)), Path(options.out)
    load_tensorflow()

    from vae_tf import plots
    from vae_tf.backend.devices import as_input_errors, use_device
    from vae_tf.report.anomalies import check_fits, contact_sheet, score_columns, scored_data

    data = scored_data(run, options.dataset, options.data_dir, options.split)
    use_device(options.device)
    with as_input_errors():
        check_fits(data, run.model)
        with _writing(out):
            with replacing(out) as partial:  # fails before the work if out can't be written
                columns = score_columns(run, data, options.score, options.seed)
                _write_table(columns, partial)
            print(out)
            if data.modality.figures.shows_means:
                sheet = out.with_suffix(".png")
                plots.save(contact_sheet(data, columns["anomaly_score"]), sheet)
                print(sheet)


if __name__ == "__main__":
    cli.run(main, ScoreOptions, COMMAND)
