"""A comparison of runs: samples from the same latents, reconstructions of the same examples, curves and metrics."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from vae_tf.data.modality import Modality, get_modality
from vae_tf.data.pipeline import first_batch
from vae_tf.report.latent_page import LatentView, latent_view
from vae_tf.report.metric_comparison import Evaluation, Group, MetricComparison, compare_metrics, group_runs
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir

NUM_SAMPLES = 32
SEED = 0

History = list[dict[str, float]]


class RunView(NamedTuple):
    """What a report shows about one run.

    Attributes:
        samples: Samples `(N, H, W, C)`.
        inputs: The first test examples, as inputs of the encoder `(N, H, W, C)`.
        targets: The same examples before they were corrupted; `inputs` itself if the run has no corruption.
        reconstructions: Reconstructions of `inputs` `(N, H, W, C)`.
        latents: The run's latents.
    """

    samples: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    reconstructions: np.ndarray
    latents: LatentView


class Comparison(NamedTuple):
    """A comparison of groups of runs; dictionaries are keyed by the group's label unless stated otherwise.

    Attributes:
        groups: The groups; the runs of a group differ only in their seed.
        rows: The metrics.
        samples: Samples `(N, H, W, C)` of each group's first run, from the same latent samples.
        reconstructions: The rows of a figure: test examples, then each group's reconstructions `(N, H, W, C)`.
        latents: The latents of each group's first run.
        histories: The histories of each group's runs.
        evaluations: The evaluation of each run, keyed by the run's name.
    """

    groups: list[Group]
    rows: list[MetricComparison]
    samples: dict[str, np.ndarray]
    reconstructions: dict[str, np.ndarray]
    latents: dict[str, LatentView]
    histories: dict[str, list[History]]
    evaluations: Mapping[str, Evaluation]

    @classmethod
    def from_evaluations(
        cls, evaluations: Mapping[str, Evaluation], histories: Mapping[str, History], views: Mapping[str, RunView]
    ) -> Self:
        """Returns the comparison of evaluated runs.

        Args:
            evaluations: The evaluation of each run, keyed by the run's name.
            histories: The history of each run.
            views: The view of at least the first run of each group.

        Raises:
            InputError: Two runs have the same configuration and seed.
        """
        groups = group_runs([(name, evaluation.config) for name, evaluation in evaluations.items()])
        first = {group.label: views[group.runs[0]] for group in groups}
        return cls(
            groups,
            compare_metrics(groups, evaluations),
            {label: view.samples for label, view in first.items()},
            _reconstruction_rows(first),
            {label: view.latents for label, view in first.items()},
            {group.label: [histories[name] for name in group.runs] for group in groups},
            evaluations,
        )

    @property
    def modality(self) -> Modality:
        """The modality of the examples, which is the same for all runs."""
        return get_modality(self.evaluations[self.groups[0].runs[0]].metrics["example_shape"])

    @property
    def references(self) -> dict[str, dict[str, Any]]:
        """Reference values for the metrics, from the first run's `metrics.json`."""
        return self.evaluations[self.groups[0].runs[0]].metrics["references"]


def load_evaluation(folder: RunDir) -> Evaluation:
    """Returns the evaluation that `evaluate` wrote into a run folder."""
    return Evaluation(folder.read_config(), folder.read_metrics(), folder.read_per_image())


def create_view(run: LoadedRun) -> RunView:
    """Returns what a report shows of a run; all runs use the same latent samples and test examples."""
    model, splits = run.model, run.splits
    figures = splits.spec.modality.figures
    count = figures.num_reconstructions
    batch = model.unpack_batch(first_batch(splits.test, run.config, splits.spec.example_shape, "test", count))
    latents = latent_view(model, run.config, splits)
    num_samples = NUM_SAMPLES if figures.shows_single_examples else figures.num_samples
    samples = model.sample(num_samples, SEED, mean=figures.shows_single_examples, sampler=run.sampler)
    return RunView(samples, batch.inputs, batch.target, model.reconstruct(batch.inputs, batch.labels), latents)


def _reconstruction_rows(views: Mapping[str, RunView]) -> dict[str, np.ndarray]:
    """Returns rows of images; shared originals are shown once, otherwise above each group's reconstructions."""
    originals = next(iter(views.values())).targets
    is_shared = all(np.array_equal(originals, view.targets) for view in views.values())
    image_rows = {"originals": originals} if is_shared else {}
    for label, view in views.items():
        if not is_shared:
            image_rows[f"originals of {label}"] = view.targets
        if view.inputs is not view.targets:
            image_rows[f"input to {label}"] = view.inputs
        image_rows[label] = view.reconstructions
    return image_rows
