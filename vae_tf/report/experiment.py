"""Runs an experiment: trains the missing runs, evaluates those that need it, and compares all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vae_tf.config import RunConfig
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.data.catalog import load_splits
from vae_tf.registry import TOY_DATASETS
from vae_tf.report.ranking import pool
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError
from vae_tf.training.run import run_training

if TYPE_CHECKING:
    from vae_tf.report.comparison import Comparison


def train_missing(trainings: Mapping[str, RunConfig], folder: Path) -> list[RunDir]:
    """Trains the runs that are missing, and returns all of them.

    Args:
        trainings: Config of each run, by the name of its run folder.
        folder: Folder of the run folders. An unfinished run is resumed.

    Raises:
        InputError: The data can't be used, training diverged, or a run folder contains another experiment.
    """
    shape = load_splits(next(iter(trainings.values()))).spec.example_shape
    for name, config in trainings.items():
        if RunDir(folder / name).is_started:
            _check_same(RunDir.open(folder / name), config.resolved(shape))
    runs = []
    for number, (name, config) in enumerate(trainings.items(), start=1):
        path = folder / name
        if not RunDir(path).is_finished:
            print(f"Training {number} of {len(trainings)}: {config.variant}, seed {config.seed}")
            run_training(config, path)
        runs.append(RunDir.open(path, config.data_dir))  # config.yml leaves out any secret in data_dir
    return runs


def _check_same(run: RunDir, wanted: RunConfig) -> None:
    found = run.read_config().model_dump()
    for key, value in wanted.model_dump().items():
        if key != "device" and found.get(key) != value:
            raise InputError(
                f"out must hold trainings with the same options. Received: {run.path} with {key}={found.get(key)}, "
                f"not {value}; choose another --out"
            )


def check_comparable(folders: Sequence[RunDir]) -> None:
    """Raises an error if the runs can't be compared, before anything is computed.

    Raises:
        InputError: A run is not finished, two runs are the same, or some are of images and others of points.
    """
    for folder in folders:
        folder.check_finished()
    configs = [folder.read_config() for folder in folders]
    pool([(str(folder.path), config) for folder, config in zip(folders, configs, strict=True)])
    if len({config.dataset in TOY_DATASETS for config in configs}) > 1:
        raise InputError("compare takes runs of pictures or runs of points. Received: both; leave some out")


def compare_runs(folders: Sequence[RunDir], settings: EvaluationConfig) -> "Comparison":
    """Evaluates runs that have not been evaluated, and returns the comparison of all of them.

    Call `load_tensorflow` first. Only one run is in memory at a time.

    Args:
        folders: Finished runs, no two with the same configuration and seed.
        settings: Options of the evaluation. An existing evaluation is used if it agrees with the options that are set
            explicitly; otherwise the run is evaluated again.

    Raises:
        InputError: A run's data, model or files can't be read, or can't be evaluated.
    """
    from vae_tf.report.comparison import Comparison, evaluation_of, view_of
    from vae_tf.report.evaluation import evaluate_run

    asked = settings.model_dump(include=settings.model_fields_set)
    groups = pool([(str(folder.path), folder.read_config()) for folder in folders])
    firsts = {group.runs[0] for group in groups}
    evaluations, histories, views = {}, {}, {}
    for folder in folders:
        name, run = str(folder.path), LoadedRun(folder, from_prior=settings.sampler == "prior")
        if not folder.is_evaluated or not asked.items() <= folder.read_metrics()["settings"].items():
            print(f"Evaluating {folder.path}")
            evaluations[name] = evaluate_run(run, settings)
        else:
            evaluations[name] = evaluation_of(folder)
        histories[name] = folder.read_history()
        if name in firsts:
            views[name] = view_of(run)
    return Comparison.of(evaluations, histories, views)
