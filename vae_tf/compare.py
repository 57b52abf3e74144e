"""Compare runs: python -m vae_tf.compare runs/v1 runs/v2 --out comparison"""

from pathlib import Path
from typing import Self

from pydantic import model_validator
from pydantic_settings import CliPositionalArg, CliSuppress

from vae_tf.config import RunConfig, Seed, UserPath, Variant
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.runs.run_dir import RunDir
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow

COMMAND = "python -m vae_tf.compare"
RUNS = "runs"


class CompareOptions(EvaluationConfig, RunConfig):
    """Compare finished runs, or train variants with several seeds and compare those."""

    runs: CliPositionalArg[tuple[UserPath, ...]] = ()
    """Run folders; runs that differ only in their seed are pooled."""
    out: UserPath
    """Folder for the comparison: new or empty, or one with an unfinished comparison of --variants."""
    variants: tuple[Variant, ...] = ()
    """Instead of run folders: variants to train, such as plain bn, into out/runs. Existing runs there are kept."""
    seeds: tuple[Seed, ...] = ()
    """Seeds to train each variant with, such as 0 1 2. Default: --seed."""
    config: UserPath | None = None
    """YAML file with training options as keys; the command line takes precedence."""
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
        """Returns the config of each training, by the name of its folder."""
        common = self.part(RunConfig).model_dump()
        return {
            f"{variant}-seed{seed}": RunConfig(**{**common, "variant": variant, "seed": seed})
            for seed in self.seeds or (self.seed,)
            for variant in self.variants
        }

    def settings(self) -> EvaluationConfig:
        """Returns only the evaluation options that were given; existing evaluations may differ in the others."""
        given = EvaluationConfig.model_fields.keys() & self.model_fields_set
        return EvaluationConfig(**{name: getattr(self, name) for name in given})


def _make_folder(out: Path, *, may_hold_runs: bool) -> None:
    """Creates the folder, or raises an error if it contains files that are not the comparison's own."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        is_free = not any(out.iterdir()) or (may_hold_runs and (out / RUNS).is_dir())
    except OSError as error:
        raise InputError(f"out must be a folder that can be written. Received: {out} ({error.strerror})") from None
    if not is_free:
        raise InputError(f"out must be new or empty. Received: {out}; choose another")


def main(options: CompareOptions) -> None:
    """Runs the command."""
    from vae_tf.report.experiment import check_comparable, compare_runs, train_missing

    out = Path(options.out)
    folders = [RunDir.open(Path(path), options.data_dir) for path in options.runs]
    if folders:
        check_comparable(folders)
    _make_folder(out, may_hold_runs=bool(options.variants))
    if options.variants:
        folders = train_missing(options.trainings(), out / RUNS)
    load_tensorflow()

    from vae_tf.backend.devices import use_device
    from vae_tf.report import comparison_page

    use_device(options.device)
    comparison = compare_runs(folders, options.settings())
    print(comparison_page.score_table(comparison).text())
    print("\n".join(comparison_page.how_to_read(comparison)))
    for what, path in comparison_page.write(comparison, out).items():
        print(f"{what:16}{path}")


if __name__ == "__main__":
    cli.run(main, CompareOptions, COMMAND)
