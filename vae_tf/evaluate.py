"""Evaluate a finished run: python -m vae_tf.evaluate --run runs/x"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_tf.config import Seed
from vae_tf.config.evaluation import EvaluationConfig, RunFolderConfig
from vae_tf.data.modality import get_modality
from vae_tf.registry import PRIOR
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.report.metric_comparison import Evaluation

COMMAND = "python -m vae_tf.evaluate"


class EvaluateOptions(EvaluationConfig, RunFolderConfig):
    """Evaluate a finished run on its test or validation split; print a table and write metrics.json and a report."""

    seed: Seed = 0
    """Random seed for the samples and the estimate of the log-likelihood."""


def print_table(results: dict[str, Any]) -> None:
    """Prints the metrics with their standard errors, and the reference values below each metric."""
    noun = get_modality(results["example_shape"]).plural
    for name, estimate in results["metrics"].items():
        print(_format_line(name, estimate, noun))
        for reference, values in results["references"].items():
            if name in values:
                print(_format_line(f"  {reference}", values[name], noun))


def _format_line(name: str, estimate: dict[str, Any], noun: str) -> str:
    count = estimate.get("num_samples")
    samples = f", {count:,} sample{'s' * (count > 1)}" if count else ""
    note = f"; {estimate['note']}" if "note" in estimate else ""
    value = f"{estimate['value']:>12.4f} +- {estimate['standard_error']:<10.4f}"
    unit = "" if estimate["unit"] == "1" else f" {estimate['unit']}"
    return f"{name:48} {value}{unit} ({estimate['num_examples']:,} {noun}{samples}{note})"


def evaluate_run(run: LoadedRun | str | os.PathLike[str], **options: Any) -> "Evaluation":
    """Evaluates a finished run as the `evaluate` command does: writes its metrics and a report, and returns them.

    Args:
        run: The run, or its folder.
        **options: Options of the command with underscores, such as `nll_images=100`.

    Raises:
        InputError: An option is unknown or invalid, or the run's model or data can't be used.

    Example:
        >>> evaluation = vae_tf.evaluate_run("runs/x")
        >>> elbo = evaluation.metrics["metrics"]["elbo"]["value"]
    """
    path = run.path if isinstance(run, LoadedRun) else run
    return _evaluate(EvaluateOptions(run=str(path), **options))[1]


def _evaluate(options: EvaluateOptions) -> "tuple[LoadedRun, Evaluation]":
    run = LoadedRun.open(Path(options.run), options.data_dir, ignore_sampler=options.sampler == PRIOR)
    load_tensorflow()

    from vae_tf.backend.devices import use_device
    from vae_tf.report import evaluation

    use_device(options.device)
    return run, evaluation.evaluate_run(run, options.subset(EvaluationConfig), options.seed)


def main(options: EvaluateOptions) -> None:
    """Runs the command."""
    run, evaluation = _evaluate(options)
    print_table(evaluation.metrics)
    if run.sampler is not None:
        print(f"Samples come from the {run.sampler.name} sampler; --sampler prior samples from the prior instead")
    print(run.folder.metrics_path)
    print(run.folder.report_path)


if __name__ == "__main__":
    cli.run(main, EvaluateOptions, COMMAND)
