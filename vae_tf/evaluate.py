"""Evaluate a trained run: python -m vae_tf.evaluate --run runs/x"""

from pathlib import Path
from typing import Any, Literal

from vae_tf.config import Seed, UserPath
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.data.modality import modality_of
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.quiet_tensorflow import load_tensorflow

COMMAND = "python -m vae_tf.evaluate"


class EvaluateOptions(EvaluationConfig):
    """Evaluate a trained run on held-out images, print a table and write metrics.json into the run folder."""

    run: UserPath
    """Run folder, such as runs/x."""
    data_dir: UserPath | None = None
    """Where the images are now. Default: where the run found them."""
    seed: Seed = 0
    """Seed of all draws."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device to compute on; auto uses a GPU if there is one."""


def print_table(results: dict[str, Any]) -> None:
    """Prints the metrics with their errors, and under each metric its reference values."""
    noun = modality_of(results["example_shape"]).plural
    for name, score in results["metrics"].items():
        print(_line(name, score, noun))
        for row, references in results["references"].items():
            if name in references:
                print(_line(f"  {row}", references[name], noun))


def _line(name: str, score: dict[str, Any], noun: str) -> str:
    count = score.get("num_samples")
    samples = f", {count:,} sample{'s' * (count > 1)}" if count else ""
    note = f"; {score['note']}" if "note" in score else ""
    value = f"{score['value']:>12.4f} +- {score['standard_error']:<10.4f}"
    return f"{name:48} {value} {score['unit']} ({score['num_examples']:,} {noun}{samples}{note})"


def main(options: EvaluateOptions) -> None:
    """Runs the command."""
    run = LoadedRun.open(Path(options.run), options.data_dir, from_prior=options.sampler == "prior")
    load_tensorflow()

    from vae_tf.backend.devices import use_device
    from vae_tf.report.evaluation import evaluate_run

    use_device(options.device)
    evaluation = evaluate_run(run, options.part(EvaluationConfig), options.seed)
    print_table(evaluation.metrics)
    if run.sampler is not None:
        print(f"Samples come from the {run.sampler.name} sampler; --sampler prior draws from the prior")
    print(run.folder.metrics_path)
    print(run.folder.report_path)


if __name__ == "__main__":
    cli.run(main, EvaluateOptions, COMMAND)
