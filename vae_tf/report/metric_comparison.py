"""Compares evaluated runs: which metrics are comparable, how much they differ, and how certain the difference is."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from vae_tf.config import RunConfig
from vae_tf.metrics.metric import get_metric
from vae_tf.support.errors import InputError

# Config keys in which runs of the same experiment may differ.
IGNORED_CONFIG_KEYS = {"seed", "device", "sample_every"}
# Config keys that labels show by value only.
VALUE_ONLY_LABEL_KEYS = {"arch", "variant", "dataset", "likelihood"}
CONFIDENCE = 0.95
# Longer labels do not fit above the panels of a figure.
MAX_LABEL_LENGTH = 40

# Likelihoods that are densities over the same space, so that their log-likelihoods are comparable.
DENSITY_LIKELIHOODS = {"gaussian", "learned_gaussian", "continuous_bernoulli"}


class Evaluation(NamedTuple):
    """The evaluation of a run: its config, the contents of `metrics.json`, and the values per image."""

    config: RunConfig
    metrics: dict[str, Any]
    per_image: dict[str, np.ndarray]


class Group(NamedTuple):
    """A group of runs that differ only in their seed.

    Attributes:
        label: The options that distinguish it from the other groups; if they are too long for the title of a figure,
            the name of its first run.
        runs: The names of its runs, in the order of their seeds.
        options: The options that distinguish it from the other groups.
    """

    label: str
    runs: tuple[str, ...]
    options: str


class GroupMetric(NamedTuple):
    """A metric of a group of runs."""

    mean: float
    standard_error: float  # of a single run, over examples and samples
    seeds_sd: float | None  # standard deviation over the runs, None for a single run
    num_runs: int


class Difference(NamedTuple):
    """The difference of a metric between two groups."""

    value: float  # first group minus second group
    standard_error: float  # over examples and seeds
    margin: float  # half the width of the confidence interval


class MetricComparison(NamedTuple):
    """A row of the comparison: one metric of all groups.

    Attributes:
        name: Name of the metric.
        unit: Unit of the metric.
        direction: 1 if higher is better, -1 if lower is better, 0 if the metric is only descriptive.
        groups: The metric of each group, keyed by the group's label; empty if the metric is not comparable.
        differences: The difference of the means, keyed by two labels.
        winner: Label of the group that is better than every other by more than the margin, or `None`.
        incomparable_reason: Why the metric is not comparable; empty if it is.
        note: Caveat to show with the metric; may be empty.
    """

    name: str
    unit: str
    direction: int
    groups: dict[str, GroupMetric]
    differences: dict[tuple[str, str], Difference]
    winner: str | None
    incomparable_reason: str = ""
    note: str = ""


def group_runs(runs: Sequence[tuple[str, RunConfig]]) -> list[Group]:
    """Groups runs that differ only in their seed, and labels each group by its distinguishing options.

    Args:
        runs: The name and config of each run; at least one run.

    Raises:
        InputError: Two runs have the same configuration and seed.
    """
    groups: dict[str, dict[int, str]] = {}
    experiments: dict[str, dict[str, Any]] = {}
    for name, config in runs:
        experiment = {key: value for key, value in config.model_dump().items() if key not in IGNORED_CONFIG_KEYS}
        experiments[repr(experiment)] = experiment
        members = groups.setdefault(repr(experiment), {})
        if config.seed in members:
            raise InputError(
                f"Runs must differ in configuration or seed. Received: {members[config.seed]} and {name}, which have "
                "the same configuration and seed; leave one out"
            )
        members[config.seed] = name
    # The options of a part are keys only in the experiments that use it; the part's name distinguishes the others.
    keys = dict.fromkeys(key for each in experiments.values() for key in each)
    different = [key for key in keys if len({repr(each[key]) for each in experiments.values() if key in each}) > 1]
    options = {key: _describe(experiments[key], different or ["arch", "variant"]) for key in groups}
    run_names = {key: tuple(members[seed] for seed in sorted(members)) for key, members in groups.items()}
    if max(map(len, options.values())) <= MAX_LABEL_LENGTH:
        labels = options
    else:
        labels = {key: Path(names[0]).name for key, names in run_names.items()}
        if len(set(labels.values())) < len(labels):
            labels = {key: names[0] for key, names in run_names.items()}
    return [Group(labels[key], run_names[key], options[key]) for key in groups]


def compare_metrics(groups: Sequence[Group], evaluations: Mapping[str, Evaluation]) -> list[MetricComparison]:
    """Compares the groups in every metric that any run has.

    Args:
        groups: The groups, from `group_runs`.
        evaluations: The evaluation of each run, keyed by the run's name.
    """
    members = {group.label: [evaluations[name] for name in group.runs] for group in groups}
    names = dict.fromkeys(name for run in evaluations.values() for name in run.metrics["metrics"])
    return [_row(name, members) for name in names]


def _describe(experiment: dict[str, Any], keys: Sequence[str]) -> str:
    def describe(key: str) -> str:
        return str(experiment[key]) if key in VALUE_ONLY_LABEL_KEYS else f"{key}={experiment[key]}"

    return ", ".join(describe(key) for key in keys if key in experiment)


def _row(name: str, members: Mapping[str, Sequence[Evaluation]]) -> MetricComparison:
    runs = [run for group in members.values() for run in group]
    estimate = next(run.metrics["metrics"][name] for run in runs if name in run.metrics["metrics"])
    unit = estimate["unit"]
    direction = get_metric(name).direction
    incomparable_reason = _explain_incomparable(name, runs)
    if incomparable_reason:
        return MetricComparison(name, unit, direction, {}, {}, None, incomparable_reason)
    groups = {label: _aggregate(name, group) for label, group in members.items()}
    differences = {
        (a, b): _difference(name, members[a], members[b], groups[a], groups[b]) for a, b in combinations(members, 2)
    }
    winner = _find_winner(direction, groups, differences)
    return MetricComparison(name, unit, direction, groups, differences, winner, note=estimate.get("note", ""))


def _explain_incomparable(name: str, runs: Sequence[Evaluation]) -> str:
    """Returns why a metric of these runs is not comparable, or an empty string."""
    if not all(name in run.metrics["metrics"] for run in runs):
        return "missing from some runs"
    conditions: dict[str, Callable[[Evaluation], Any]] = {
        "data": lambda run: run.metrics["dataset"],
        "image shapes": lambda run: "x".join(map(str, run.metrics["example_shape"])),
        "splits": lambda run: run.metrics["settings"]["split"],
        "binarization": lambda run: run.config.binarize,
        "images, by their SHA-256": lambda run: run.metrics["pictures_sha256"][:8],
        "numbers of images": lambda run: run.metrics["metrics"][name]["num_examples"],
        "numbers of samples": lambda run: run.metrics["metrics"][name].get("num_samples"),
    }
    if "likelihood" in get_metric(name).conditions:
        if not all(run.config.likelihood in DENSITY_LIKELIHOODS for run in runs):
            conditions["likelihoods"] = lambda run: run.config.likelihood
        conditions["conditioning"] = lambda run: "on the class" if run.config.conditional else "none"
    if "input" in get_metric(name).conditions:
        conditions["corruption"] = lambda run: run.config.corrupt
    for what, get_value in conditions.items():
        values = dict.fromkeys(str(get_value(run)) for run in runs)
        if len(values) > 1:
            return f"different {what}: {' and '.join(values)}"
    return ""


def _aggregate(name: str, group: Sequence[Evaluation]) -> GroupMetric:
    estimates = [run.metrics["metrics"][name] for run in group]
    values = [estimate["value"] for estimate in estimates]
    return GroupMetric(
        float(np.mean(values)),
        float(np.mean([estimate["standard_error"] for estimate in estimates])),
        float(np.std(values, ddof=1)) if len(values) > 1 else None,
        len(values),
    )


def _difference(
    name: str, a: Sequence[Evaluation], b: Sequence[Evaluation], group_a: GroupMetric, group_b: GroupMetric
) -> Difference:
    """Returns the difference of the means, its standard error over examples and seeds, and its 95% margin.

    If the metric is a mean over the same examples, the examples are paired: the difficulty of an example is shared by
    both groups and cancels. The margin uses Student's t distribution, because the standard deviation of a few seeds is
    uncertain (Welch 1947; the error over examples is treated as known).
    """
    if all(name in run.per_image for run in (*a, *b)):
        by_image = np.mean([run.per_image[name] for run in a], axis=0) - np.mean(
            [run.per_image[name] for run in b], axis=0
        )
        example_error = float(by_image.std(ddof=1) / math.sqrt(len(by_image)))
    else:
        example_error = math.hypot(group_a.standard_error, group_b.standard_error)
    seed_variances = [
        (each.seeds_sd**2 / each.num_runs, each.num_runs - 1)
        for each in (group_a, group_b)
        if each.seeds_sd is not None
    ]
    variance = example_error**2 + sum(square for square, _ in seed_variances)
    welch_denominator = sum(square**2 / degrees_of_freedom for square, degrees_of_freedom in seed_variances)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, variance**2 / welch_denominator if welch_denominator else math.inf)
    error = math.sqrt(variance)
    return Difference(group_a.mean - group_b.mean, error, float(quantile) * error)


def _find_winner(
    direction: int, groups: Mapping[str, GroupMetric], differences: Mapping[tuple[str, str], Difference]
) -> str | None:
    if direction == 0 or len(groups) < 2:
        return None
    best = max(groups, key=lambda label: direction * groups[label].mean)
    differences_to_best = [difference for pair, difference in differences.items() if best in pair]
    return best if all(abs(difference.value) > difference.margin for difference in differences_to_best) else None
