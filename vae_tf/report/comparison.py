"""A comparison of runs: samples from the same latent draws, the same test examples, curves and metrics."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from vae_tf.data.modality import Modality, modality_of
from vae_tf.data.pipeline import first_batch
from vae_tf.report.latent_page import LatentView, latent_view
from vae_tf.report.ranking import Evaluation, Group, Row, pool, rows
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir

NUM_SAMPLES = 32
SEED = 0

History = list[dict[str, float]]


class RunView(NamedTuple):
    """What a report shows of one run.

    Attributes:
        samples: Prior samples `(N, H, W, C)`.
        inputs: The first test examples, as the encoder sees them `(N, H, W, C)`.
        targets: The same examples before they were corrupted; `inputs` itself if the run corrupts nothing.
        reconstructions: Reconstructions of `inputs` `(N, H, W, C)`.
        latents: The run's latents.
    """

    samples: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    reconstructions: np.ndarray
    latents: LatentView


class Comparison(NamedTuple):
    """A comparison of groups of runs; its dictionaries are keyed by the group's label.

    Attributes:
        groups: Groups of runs that differ only in their seed.
        rows: The metrics.
        samples: Prior samples `(N, H, W, C)` of each group's first run, from the same latent draws.
        reconstructions: The test examples, and below them each group's reconstructions of them `(N, H, W, C)`.
        latents: The latents of each group's first run.
        histories: The histories of each group's runs.
        evaluations: The evaluation of each run, by the run's name.
    """

    groups: list[Group]
    rows: list[Row]
    samples: dict[str, np.ndarray]
    reconstructions: dict[str, np.ndarray]
    latents: dict[str, LatentView]
    histories: dict[str, list[History]]
    evaluations: Mapping[str, Evaluation]

    @classmethod
    def of(
        cls, evaluations: Mapping[str, Evaluation], histories: Mapping[str, History], views: Mapping[str, RunView]
    ) -> Self:
        """Returns the comparison of evaluated runs.

        Args:
            evaluations: Evaluation of each run, by the run's name.
            histories: History of each run.
            views: Views of at least the first run of each group.

        Raises:
            InputError: Two runs are the same.
        """
        groups = pool([(name, evaluation.config) for name, evaluation in evaluations.items()])
        first = {group.label: views[group.runs[0]] for group in groups}
        return cls(
            groups,
            rows(groups, evaluations),
            {label: view.samples for label, view in first.items()},
            _originals_above(first),
            {label: view.latents for label, view in first.items()},
            {group.label: [histories[name] for name in group.runs] for group in groups},
            evaluations,
        )

    @property
    def modality(self) -> Modality:
        """Modality of the examples, the same for all runs."""
        return modality_of(self.evaluations[self.groups[0].runs[0]].metrics["example_shape"])

    @property
    def references(self) -> dict[str, dict[str, Any]]:
        """Reference values for the metrics, from the first run's `metrics.json`."""
        return self.evaluations[self.groups[0].runs[0]].metrics["references"]


def evaluation_of(folder: RunDir) -> Evaluation:
    """Returns the evaluation that `evaluate` wrote into a run folder."""
    return Evaluation(folder.read_config(), folder.read_metrics(), folder.read_per_image())


def view_of(run: LoadedRun) -> RunView:
    """Returns what a report shows of a run; all runs get the same latent draws and test examples."""
    model, splits = run.model, run.splits
    figures = splits.spec.modality.figures
    count = figures.num_reconstructions
    seen = model.observed(first_batch(splits.test, run.config, splits.spec.example_shape, "test", count))
    latents = latent_view(model, run.config, splits)
    num_samples = NUM_SAMPLES if figures.shows_means else figures.num_samples
    samples = model.sample(num_samples, SEED, mean=figures.shows_means, sampler=run.sampler)
    return RunView(samples, seen.inputs, seen.target, model.reconstruct(seen.inputs, seen.labels), latents)


def _originals_above(views: Mapping[str, RunView]) -> dict[str, np.ndarray]:
    """Returns the rows of images; the originals come once if all groups share them, otherwise above each group."""
    first = next(iter(views.values())).targets
    same = all(np.array_equal(first, view.targets) for view in views.values())
    rows_of_images = {"originals": first} if same else {}
    for label, view in views.items():
        if not same:
            rows_of_images[f"originals of {label}"] = view.targets
        if view.inputs is not view.targets:
            rows_of_images[f"{label} was given"] = view.inputs
        rows_of_images[label] = view.reconstructions
    return rows_of_images
