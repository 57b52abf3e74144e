"""Set runs side by side: python -m vae_tf.compare runs/v1 runs/v2 --out comparison"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator
from pydantic_settings import CliPositionalArg, CliSuppress

from vae_tf.config import RunConfig, Seed, UserPath, Variant
from vae_tf.evaluate import EvaluateSettings, evaluate_run
from vae_tf.registry import TOY_DATASETS
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.files import replacing
from vae_tf.support.quiet_tensorflow import load_tensorflow
from vae_tf.support.redaction import redacted
from vae_tf.train import run_training

if TYPE_CHECKING:
    from vae_tf.report.comparison import Comparison
    from vae_tf.report.ranking import Evaluation

COMMAND = "python -m vae_tf.compare"
RUNS = "runs"


class CompareOptions(EvaluateSettings, RunConfig):
    """Compare finished runs, or train variants with several seeds and compare those."""

    runs: CliPositionalArg[tuple[UserPath, ...]] = ()
    """Run folders; those that differ by their seed alone are pooled."""
    out: UserPath
    """Folder for the comparison: new or empty, or one that --variants left unfinished."""
    variants: tuple[Variant, ...] = ()
    """Instead of run folders: train these, as plain bn, into out/runs, where they are not there yet."""
    seeds: tuple[Seed, ...] = ()
    """Seeds to train each variant with, as 0 1 2. Default: --seed."""
    config: UserPath | None = None
    """YAML file with options of the trainings as keys; the command line wins over it."""
    variant: CliSuppress[Variant] = "bn"

    @model_validator(mode="after")
    def _runs_or_variants(self) -> Self:
        if bool(self.runs) == bool(self.variants):
            raise InputError(
                "compare takes run folders or --variants. Received: " + ("both" if self.runs else "neither")
            )
        if self.runs and len(self.runs) < 2:
            raise InputError(f"compare takes two run folders or more. Received: {self.runs[0]}")
        of_trainings = {*RunConfig.model_fields, "seeds", "config"} - {"device", "data_dir"}
        given = sorted(of_trainings & self.model_fields_set)
        if self.runs and given:
            raise InputError(f"{given[0]} is for trainings, with --variants. Received: run folders; leave it out")
        return self

    def trainings(self) -> dict[str, RunConfig]:
        """Returns what to train, by the name of its folder."""
        common = {name: getattr(self, name) for name in RunConfig.model_fields}
        return {
            f"{variant}-seed{seed}": RunConfig(**{**common, "variant": variant, "seed": seed})
            for seed in self.seeds or (self.seed,)
            for variant in self.variants
        }

    def settings(self) -> EvaluateSettings:
        """Returns the part that decides what is measured; what was not given is left to the runs' own evaluation."""
        given = EvaluateSettings.model_fields.keys() & self.model_fields_set
        return EvaluateSettings(**{name: getattr(self, name) for name in given})


def train_missing(trainings: Mapping[str, RunConfig], folder: Path) -> list[RunDir]:
    """Trains what is not there yet and returns the runs.

    Args:
        trainings: What to train, by the name of its run folder.
        folder: Where the run folders are or will be. An unfinished one goes on.

    Raises:
        InputError: The data can't be used, training diverged, or a folder holds another experiment.
    """
    from vae_tf.data.catalog import load_splits

    shape = load_splits(next(iter(trainings.values()))).spec.example_shape
    for name, config in trainings.items():
        if RunDir(folder / name).is_begun:
            _check_same(RunDir.open(folder / name), config.resolved(shape))
    runs = []
    for number, (name, config) in enumerate(trainings.items(), start=1):
        path = folder / name
        if not RunDir(path).is_finished:
            print(f"Training {number} of {len(trainings)}: {config.variant}, seed {config.seed}")
            run_training(config, path)
        runs.append(RunDir.open(path, config.data_dir))  # config.yml is silent of a secret in it
    return runs


def _check_same(run: RunDir, wanted: RunConfig) -> None:
    found = run.read_config().model_dump()
    for key, value in wanted.model_dump().items():
        if key != "device" and found[key] != value:
            raise InputError(
                f"out must hold trainings with the same options. Received: {run.path} with {key}={found[key]}, "
                f"not {value}; choose another --out"
            )


def evaluations(runs: Mapping[str, RunDir], settings: EvaluateSettings) -> "dict[str, Evaluation]":
    """Returns what is known of each run; one that was not evaluated, or not as asked for, is evaluated.

    Args:
        runs: Finished runs by name.
        settings: What was not given explicitly may differ in a run that is evaluated already.
    """
    from vae_tf.report.comparison import evaluation_of

    found = {}
    asked = settings.model_dump(include=settings.model_fields_set)
    for name, run in runs.items():
        if not run.is_evaluated or not asked.items() <= run.read_metrics()["settings"].items():
            print(f"Evaluating {run.path}")
            evaluate_run(run, settings)
        found[name] = evaluation_of(run)
    return found


def compare_runs(
    runs: Sequence[RunDir], settings: EvaluateSettings, device: Literal["auto", "cpu", "gpu"] = "auto"
) -> "Comparison":
    """Evaluates what is not evaluated yet and returns the runs side by side.

    Args:
        runs: Finished runs, no two of one configuration and seed.
        settings: Of the evaluation; what is not given explicitly is taken as a run was evaluated.
        device: Where to compute.

    Raises:
        InputError: The device is not there. Some runs are of pictures and some of points. A run's data, model or files
            can't be read, or can't be evaluated.
    """
    of_points = {run.read_config().dataset in TOY_DATASETS for run in runs}
    if len(of_points) > 1:
        raise InputError("compare takes runs of pictures or runs of points. Received: both; leave some out")
    load_tensorflow()

    from vae_tf.backend.devices import use_device
    from vae_tf.report.comparison import compared

    use_device(device)
    by_name = {str(run.path): run for run in runs}
    return compared(by_name, evaluations(by_name, settings))


def write(comparison: "Comparison", out: Path) -> dict[str, Path]:
    """Writes the comparison's files into a folder and returns where, by what they are.

    Args:
        comparison: From `compared`.
        out: A folder.
    """
    from vae_tf import plots
    from vae_tf.report import comparison as shown
    from vae_tf.report import html

    table = shown.score_table(comparison)
    labels = " against ".join(group.label for group in comparison.groups)
    page = html.page(labels, shown.lead(comparison), shown.sections(comparison))
    markdown = f"{table.markdown()}\n{' '.join(shown.how_to_read(comparison))}\n"
    texts = {
        "Report": ("report.html", page),
        "Markdown table": ("compare.md", redacted(markdown)),
        "Numbers": ("compare.json", redacted(json.dumps(shown.as_json(comparison), indent=2)) + "\n"),
    }
    figures = {
        "Samples": ("samples.png", shown.samples_figure(comparison)),
        "Reconstructions": ("reconstructions.png", shown.reconstructions_figure(comparison)),
    }
    if not shown.curves_refused(comparison):
        figures["Curves"] = ("curves.png", shown.curves_figure(comparison))
    for name, text in texts.values():
        with replacing(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
    for name, figure in figures.values():
        with replacing(out / name) as partial:
            plots.save(figure, partial)
    return {what: out / name for what, (name, _) in (figures | texts).items()}


def _make_folder(out: Path, *, may_hold_runs: bool) -> None:
    """Raises where the comparison would touch what is not its own."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        is_free = not any(out.iterdir()) or (may_hold_runs and (out / RUNS).is_dir())
    except OSError as error:
        raise InputError(f"out must be a folder that can be written. Received: {out} ({error.strerror})") from None
    if not is_free:
        raise InputError(f"out must be new or empty. Received: {out}; choose another")


def _finished(paths: Sequence[str], data_dir: str | None) -> list[RunDir]:
    """The runs, once it is sure that they can be compared."""
    from vae_tf.report.ranking import pool

    runs = [RunDir.open(Path(path), data_dir) for path in paths]
    for run in runs:
        run.check_finished()
    configs = [run.read_config() for run in runs]
    pool([(str(run.path), config) for run, config in zip(runs, configs, strict=True)])
    return runs


def main(options: CompareOptions) -> None:
    """Runs the command."""
    out = Path(options.out)
    runs = _finished(options.runs, options.data_dir) if options.runs else []
    _make_folder(out, may_hold_runs=bool(options.variants))
    if options.variants:
        runs = train_missing(options.trainings(), out / RUNS)
    comparison = compare_runs(runs, options.settings(), options.device)

    from vae_tf.report import comparison as shown

    print(shown.score_table(comparison).text())
    print("\n".join(shown.how_to_read(comparison)))
    for what, path in write(comparison, out).items():
        print(f"{what:16}{path}")


if __name__ == "__main__":
    cli.run(main, CompareOptions, COMMAND)
