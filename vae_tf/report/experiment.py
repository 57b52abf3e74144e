"""Runs an experiment: trains missing runs, evaluates runs without an evaluation, and compares all runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vae_tf.config import RunConfig
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.config.parts import get_option_names
from vae_tf.data.loading import load_splits
from vae_tf.registry import PRIOR, TOY_DATASETS
from vae_tf.report.metric_comparison import group_runs
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError
from vae_tf.training.run import run_training

if TYPE_CHECKING:
    from vae_tf.report.comparison import Comparison


def train_missing(configs: Mapping[str, RunConfig], folder: Path) -> list[RunDir]:
    """Trains the missing runs and returns all runs.

    Args:
        configs: The config of each run, keyed by the name of its run folder.
        folder: The folder that contains the run folders. An unfinished run is resumed.

    Raises:
        InputError: The data can't be used, training diverged, or a run folder contains another experiment.
    """
    shape = load_splits(next(iter(configs.values()))).spec.example_shape
    for name, config in configs.items():
        if RunDir(folder / name).is_started:
            _check_same_config(RunDir.open(folder / name), config.fill_in_defaults(shape))
    runs = []
    for number, (name, config) in enumerate(configs.items(), start=1):
        path = folder / name
        if not RunDir(path).is_finished:
            print(f"Training {number} of {len(configs)}: {config.variant}, seed {config.seed}")
            run_training(config, path)
        runs.append(RunDir.open(path, config.data_dir))  # config.yml has no secrets in data_dir
    return runs


def _check_same_config(run: RunDir, expected: RunConfig) -> None:
    existing = run.read_config().model_dump()
    for key, value in expected.model_dump().items():
        if key != "device" and existing.get(key) != value:
            raise InputError(
                f"The runs in --out must have the same options as this experiment. Received: {run.path} with "
                f"{key}={existing.get(key)} instead of {value}; choose another --out"
            )


def check_comparable(folders: Sequence[RunDir], *, ignore_sampler: bool) -> None:
    """Raises an error if the runs can't be compared, before anything is computed.

    Args:
        folders: The runs.
        ignore_sampler: Whether to sample from the prior even if a run has a sampler.

    Raises:
        InputError: A run is not finished, two runs have the same configuration and seed, or only some are of images.
    """
    for folder in folders:
        folder.check_finished()
    configs = [_read_config(folder, ignore_sampler=ignore_sampler) for folder in folders]
    group_runs([(str(folder.path), config) for folder, config in zip(folders, configs, strict=True)])
    if len({config.dataset in TOY_DATASETS for config in configs}) > 1:
        raise InputError(
            "compare can't mix runs trained on images and runs trained on points. Received: both; compare them "
            "separately"
        )


def _read_config(folder: RunDir, *, ignore_sampler: bool) -> RunConfig:
    """Returns the config of a run with the sampler that its samples come from, which `fit_sampler` may have fitted."""
    config = folder.read_config()
    sampler = None if ignore_sampler else folder.read_sampler_config()
    unchanged = {key: value for key, value in config.model_dump().items() if not key.startswith("sampler")}
    if sampler is None:
        return RunConfig(**unchanged)
    names = get_option_names("sampler", sampler["name"])
    options = {name: sampler[name.removeprefix("sampler_")] for name in names}
    return RunConfig(**unchanged, sampler=sampler["name"], **options)


def _is_evaluated(folder: RunDir, settings: EvaluationConfig, sampler: str) -> bool:
    """Returns whether a run has an evaluation with these settings, of samples from this sampler."""
    if not folder.is_evaluated:
        return False
    requested = {**settings.model_dump(include=settings.model_fields_set), "sampler": sampler}
    before_samplers = {"sampler": PRIOR}  # evaluations that are older than samplers do not have this setting
    return requested.items() <= {**before_samplers, **folder.read_metrics()["settings"]}.items()


def compare_runs(folders: Sequence[RunDir], settings: EvaluationConfig) -> "Comparison":
    """Evaluates the runs without an evaluation, and returns the comparison of all runs.

    Call `load_tensorflow` first. Only one run is in memory at a time.

    Args:
        folders: Finished runs, no two with the same configuration and seed.
        settings: Options of the evaluation. An existing evaluation is used if its samples came from the same sampler
            and it matches the options that are set explicitly; otherwise the run is evaluated again.

    Raises:
        InputError: A run's data, model or files can't be read, or can't be evaluated.
    """
    from vae_tf.report.comparison import Comparison, create_view, load_evaluation
    from vae_tf.report.evaluation import evaluate_run

    ignore_sampler = settings.sampler == PRIOR
    configs = {str(folder.path): _read_config(folder, ignore_sampler=ignore_sampler) for folder in folders}
    first_runs = {group.runs[0] for group in group_runs(list(configs.items()))}
    evaluations, histories, views = {}, {}, {}
    for folder in folders:
        name, run = str(folder.path), LoadedRun(folder, ignore_sampler=ignore_sampler)
        if _is_evaluated(folder, settings, configs[name].sampler or PRIOR):
            evaluation = load_evaluation(folder)
        else:
            print(f"Evaluating {folder.path}")
            evaluation = evaluate_run(run, settings)
        evaluations[name] = evaluation._replace(config=configs[name])
        histories[name] = folder.read_history()
        if name in first_runs:
            views[name] = create_view(run)
    return Comparison.from_evaluations(evaluations, histories, views)
