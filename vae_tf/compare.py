"""Compare runs: python -m vae_tf.compare runs/v1 runs/v2 --out comparison"""

import os
from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import model_validator
from pydantic_settings import CliPositionalArg, CliSuppress

from vae_tf import registry
from vae_tf.config import RunConfig, Seed, UserPath, Variant
from vae_tf.config.base import OneOf
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.registry import PRIOR
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.support.arguments import GENERAL, Heading
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.report.comparison import Comparison

COMMAND = "python -m vae_tf.compare"
RUNS_FOLDER = "runs"


class CompareOptions(EvaluationConfig, RunConfig):
    """Compare finished runs, or train variants with several seeds and compare the resulting runs.

    The options for the model, the data and training apply only with --variants, except --data-dir and --device.
    """

    heading = "comparison"

    runs: CliPositionalArg[tuple[UserPath, ...]] = ()
    """Run folders; runs that differ only in their seed are pooled."""
    out: UserPath
    """Output folder: new, empty, or containing an unfinished --variants comparison to resume."""
    variants: tuple[Variant, ...] = ()
    """Variants to train and compare, such as plain,bn; replaces the run folders. The runs go to OUT/runs, and runs that
    already exist there are reused."""
    seeds: tuple[Seed, ...] = ()
    """Random seeds to train each variant with, such as 0,1,2. Default: the value of --seed."""
    config: Annotated[UserPath, Heading(GENERAL)] | None = None
    """YAML file that sets any of these options; the command line takes precedence."""
    variant: CliSuppress[Variant] = "bn"
    sampler: Annotated[str, OneOf("sampler", ChainMap({PRIOR: ""}, registry.SAMPLERS))] | None = None
    """With --variants, the sampler to fit to the latents of each run; prior: sample from the prior, even if a run has a
    fitted sampler. Default: no sampler with --variants; otherwise use each run's sampler, if it has one."""

    @model_validator(mode="after")
    def _check_runs_or_variants(self) -> Self:
        if bool(self.runs) == bool(self.variants):
            raise InputError(
                "compare needs either run folders or --variants. Received: " + ("both" if self.runs else "neither")
            )
        if self.runs and len(self.runs) < 2:
            raise InputError(f"compare needs at least two run folders. Received: {self.runs[0]}")
        training_only = {*RunConfig.model_fields, "seeds", "config"} - {"device", "data_dir"}
        if self.sampler == PRIOR:
            training_only.remove("sampler")
        invalid = sorted(training_only & self.model_fields_set)
        if self.runs and invalid:
            raise InputError(f"{invalid[0]} can only be used with --variants, not with run folders")
        return self

    @classmethod
    def get_part_names(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the name of the part of each kind; the prior is no sampler."""
        parts = super().get_part_names(values)
        return {kind: name for kind, name in parts.items() if (kind, name) != ("sampler", PRIOR)}

    def training_configs(self) -> dict[str, RunConfig]:
        """Returns the config of each training run, keyed by folder name."""
        options = self.model_copy(update={"sampler": None}) if self.sampler == PRIOR else self
        common = options.subset(RunConfig).model_dump()
        return {
            f"{variant}-seed{seed}": RunConfig(**{**common, "variant": variant, "seed": seed})
            for seed in self.seeds or (self.seed,)
            for variant in self.variants
        }

    def evaluation_options(self) -> EvaluationConfig:
        """Returns the evaluation options that are set explicitly; existing evaluations may differ in the rest."""
        explicit = EvaluationConfig.model_fields.keys() & self.model_fields_set
        if self.sampler != PRIOR:
            explicit.discard("sampler")
        return EvaluationConfig(**{name: getattr(self, name) for name in explicit})


def _create_output_folder(out: Path, *, may_contain_runs: bool) -> None:
    """Creates the output folder, or raises an error if it contains files that compare did not write."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        is_available = not any(out.iterdir()) or (may_contain_runs and (out / RUNS_FOLDER).is_dir())
    except OSError as error:
        raise InputError(f"out must be a writable folder. Received: {out} ({error.strerror})") from None
    if not is_available:
        raise InputError(f"out must be a new or empty folder. Received: {out}; choose another")


def compare_runs(
    runs: "Sequence[LoadedRun | str | os.PathLike[str]]", out: str | os.PathLike[str], **options: Any
) -> "Comparison":
    """Compares finished runs as the `compare` command does: writes a report and figures, and returns the comparison.

    Args:
        runs: The runs, or their folders; runs that differ only in their seed are pooled.
        out: Output folder, new or empty.
        **options: Options of the command with underscores, such as `nll_images=100`.

    Raises:
        InputError: An option is unknown or invalid, a run can't be evaluated, or the runs can't be compared.

    Example:
        >>> comparison = vae_tf.compare_runs(["runs/v1", "runs/v2"], out="comparison")
        >>> [row.name for row in comparison.rows if row.winner == "bn"]
    """
    paths = [str(run.path if isinstance(run, LoadedRun) else run) for run in runs]
    return _compare(CompareOptions(runs=paths, out=str(out), **options))[0]


def main(options: CompareOptions) -> None:
    """Runs the command."""
    comparison, paths = _compare(options)

    from vae_tf.report import comparison_page

    print(comparison_page.metric_table(comparison).text())
    print("\n".join(comparison_page.table_notes(comparison)))
    for title, path in paths.items():
        print(f"{title:16}{path}")


def _compare(options: CompareOptions) -> "tuple[Comparison, dict[str, Path]]":
    """Returns the comparison, and the paths of the files that show it."""
    from vae_tf.report import experiment

    out = Path(options.out)
    folders = [RunDir.open(Path(path), options.data_dir) for path in options.runs]
    if folders:
        experiment.check_comparable(folders, ignore_sampler=options.sampler == PRIOR)
    _create_output_folder(out, may_contain_runs=bool(options.variants))
    if options.variants:
        folders = experiment.train_missing(options.training_configs(), out / RUNS_FOLDER)
    load_tensorflow()

    from vae_tf.backend.devices import use_device
    from vae_tf.report import comparison_page

    use_device(options.device)
    comparison = experiment.compare_runs(folders, options.evaluation_options())
    return comparison, comparison_page.write(comparison, out)


if __name__ == "__main__":
    cli.run(main, CompareOptions, COMMAND)
