"""Compares evaluated runs: which numbers are comparable, how far apart they are, and how certain that is."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from vae_tf.config import RunConfig
from vae_tf.metrics.metric import metric_of
from vae_tf.support.errors import InputError

# Config keys that runs of the same experiment may differ in.
NOT_THE_EXPERIMENT = {"seed", "device", "sample_every"}
# Config keys whose values are clear in a label without the key.
PLAIN_IN_LABELS = {"arch", "variant", "dataset", "likelihood"}
CONFIDENCE = 0.95

# Likelihoods that are densities of the same values: their logarithms are comparable.
DENSITIES = {"gaussian", "learned_gaussian", "continuous_bernoulli"}


class Evaluation(NamedTuple):
    """The evaluation of a run."""

    config: RunConfig
    metrics: dict[str, Any]
    per_image: dict[str, np.ndarray]


class Group(NamedTuple):
    """Names of runs that differ only in their seed, in the order of their seeds."""

    label: str
    runs: tuple[str, ...]


class Pooled(NamedTuple):
    """One metric of one group."""

    mean: float
    standard_error: float  # of measuring one run, over examples and draws
    seeds_sd: float | None  # standard deviation between the runs, None for a single run
    num_runs: int


class Difference(NamedTuple):
    """The difference between two groups in a metric."""

    value: float  # first group minus second group
    standard_error: float  # over examples and seeds
    margin: float  # half the width of the confidence interval


class Row(NamedTuple):
    """One metric of all groups.

    Attributes:
        name: Name of the metric.
        unit: Unit of the metric.
        better: 1 if higher is better, -1 if lower is better, 0 if the metric only describes.
        groups: The metric of each group, by its label; empty if it can't be compared.
        differences: (label, other label) -> difference of the means.
        winner: Label of the group that is better than every other by more than the margin, or `None`.
        refused: Why the numbers can't be compared; empty if they can.
        note: What a reader must know before using the number; may be empty.
    """

    name: str
    unit: str
    better: int
    groups: dict[str, Pooled]
    differences: dict[tuple[str, str], Difference]
    winner: str | None
    refused: str = ""
    note: str = ""


def pool(runs: Sequence[tuple[str, RunConfig]]) -> list[Group]:
    """Groups runs that differ only in their seed, and labels each group by what sets it apart.

    Args:
        runs: Name and config of each run; at least one.

    Raises:
        InputError: Two runs are the same experiment with the same seed.
    """
    pooled: dict[str, dict[int, str]] = {}
    experiments: dict[str, dict[str, Any]] = {}
    for name, config in runs:
        experiment = {key: value for key, value in config.model_dump().items() if key not in NOT_THE_EXPERIMENT}
        experiments[repr(experiment)] = experiment
        members = pooled.setdefault(repr(experiment), {})
        if config.seed in members:
            raise InputError(
                f"Runs must differ in configuration or seed. Received: {members[config.seed]} and {name}, equal in "
                "both; leave one out"
            )
        members[config.seed] = name
    # An option of a part is a key only of the experiments that use the part; the part's name sets the others apart.
    keys = dict.fromkeys(key for each in experiments.values() for key in each)
    different = [key for key in keys if len({repr(each[key]) for each in experiments.values() if key in each}) > 1]
    return [
        Group(
            _label(experiments[key], different or ["arch", "variant"]), tuple(members[seed] for seed in sorted(members))
        )
        for key, members in pooled.items()
    ]


def rows(groups: Sequence[Group], evaluations: Mapping[str, Evaluation]) -> list[Row]:
    """Returns every metric that any run has, compared between the groups.

    Args:
        groups: The result of `pool`.
        evaluations: Evaluation of each run, by the run's name.
    """
    members = {group.label: [evaluations[name] for name in group.runs] for group in groups}
    scores = dict.fromkeys(score for name in evaluations for score in evaluations[name].metrics["metrics"])
    return [_row(score, members) for score in scores]


def _label(experiment: dict[str, Any], keys: Sequence[str]) -> str:
    def labelled(key: str) -> str:
        return str(experiment[key]) if key in PLAIN_IN_LABELS else f"{key}={experiment[key]}"

    return ", ".join(labelled(key) for key in keys if key in experiment)


def _row(name: str, members: Mapping[str, Sequence[Evaluation]]) -> Row:
    runs = [run for group in members.values() for run in group]
    score = next(run.metrics["metrics"][name] for run in runs if name in run.metrics["metrics"])
    unit = score["unit"]
    better = metric_of(name).better
    refused = _refusal(name, runs)
    if refused:
        return Row(name, unit, better, {}, {}, None, refused=refused)
    pooled = {label: _pooled(name, group) for label, group in members.items()}
    differences = {
        (a, b): _difference(name, members[a], members[b], pooled[a], pooled[b]) for a, b in combinations(members, 2)
    }
    winner = _winner(better, pooled, differences)
    return Row(name, unit, better, pooled, differences, winner, note=score.get("note", ""))


def _refusal(name: str, runs: Sequence[Evaluation]) -> str:
    """Returns why a metric of these runs can't be compared, or an empty string."""
    if not all(name in run.metrics["metrics"] for run in runs):
        return "not every run has it"
    conditions: dict[str, Callable[[Evaluation], Any]] = {
        "data": lambda run: run.metrics["dataset"],
        "image shapes": lambda run: "x".join(map(str, run.metrics["example_shape"])),
        "splits": lambda run: run.metrics["settings"]["split"],
        "binarization": lambda run: run.config.binarize,
        "pictures, by their SHA-256": lambda run: run.metrics["pictures_sha256"][:8],
        "numbers of pictures": lambda run: run.metrics["metrics"][name]["num_examples"],
        "numbers of samples": lambda run: run.metrics["metrics"][name].get("num_samples"),
    }
    if "likelihood" in metric_of(name).conditions:
        if not all(run.config.likelihood in DENSITIES for run in runs):
            conditions["likelihoods"] = lambda run: run.config.likelihood
        conditions["conditioning"] = lambda run: "on the class" if run.config.conditional else "none"
    if "input" in metric_of(name).conditions:
        conditions["corruption"] = lambda run: run.config.corrupt
    for what, of in conditions.items():
        values = dict.fromkeys(str(of(run)) for run in runs)
        if len(values) > 1:
            return f"different {what}: {' and '.join(values)}"
    return ""


def _pooled(name: str, group: Sequence[Evaluation]) -> Pooled:
    scores = [run.metrics["metrics"][name] for run in group]
    values = [score["value"] for score in scores]
    return Pooled(
        float(np.mean(values)),
        float(np.mean([score["standard_error"] for score in scores])),
        float(np.std(values, ddof=1)) if len(values) > 1 else None,
        len(values),
    )


def _difference(
    name: str, a: Sequence[Evaluation], b: Sequence[Evaluation], pooled_a: Pooled, pooled_b: Pooled
) -> Difference:
    """Returns the difference of the means, its standard error over examples and seeds, and its 95 % margin.

    If the metric is a mean over the same examples, the examples are paired: what makes an example hard makes it hard
    for both groups, and cancels. The margin uses Student's t distribution, because three seeds say little about their
    own spread (Welch 1947; the error over examples is treated as known).
    """
    if all(name in run.per_image for run in (*a, *b)):
        by_image = np.mean([run.per_image[name] for run in a], axis=0) - np.mean(
            [run.per_image[name] for run in b], axis=0
        )
        measuring = float(by_image.std(ddof=1) / math.sqrt(len(by_image)))
    else:
        measuring = math.hypot(pooled_a.standard_error, pooled_b.standard_error)
    of_seeds = [
        (each.seeds_sd**2 / each.num_runs, each.num_runs - 1)
        for each in (pooled_a, pooled_b)
        if each.seeds_sd is not None
    ]
    variance = measuring**2 + sum(square for square, _ in of_seeds)
    uncertainty = sum(square**2 / freedom for square, freedom in of_seeds)
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, variance**2 / uncertainty if uncertainty else math.inf)
    error = math.sqrt(variance)
    return Difference(pooled_a.mean - pooled_b.mean, error, float(quantile) * error)


def _winner(better: int, pooled: Mapping[str, Pooled], differences: Mapping[tuple[str, str], Difference]) -> str | None:
    if better == 0 or len(pooled) < 2:
        return None
    best = max(pooled, key=lambda label: better * pooled[label].mean)
    against = [difference for pair, difference in differences.items() if best in pair]
    return best if all(abs(difference.value) > difference.margin for difference in against) else None
