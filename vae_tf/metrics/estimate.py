"""A number that can be trusted: with its unit, its standard error, and what it was computed from."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Estimate:
    """An estimated score.

    Attributes:
        value: The number.
        unit: What it counts, as `"nats per image"`.
        standard_error: Of the value, over the examples (and over draws where `note` says so).
        num_examples: Examples the value is taken over.
        seed: Seed of every draw behind it.
        num_samples: Latent samples per example, where there are any.
        note: What a reader must know before setting the number beside another, or an empty text.
        per_example: What the value is the mean of, float64 `(num_examples,)`, where it is such a mean.
    """

    value: float
    unit: str
    standard_error: float
    num_examples: int
    seed: int
    num_samples: int | None = None
    note: str = ""
    per_example: np.ndarray | None = field(default=None, repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields that say something, for JSON; `per_example` is left out."""
        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "per_example"}
        return {name: value for name, value in told.items() if value not in (None, "")}


def mean_estimate(values: np.ndarray, unit: str, seed: int, **more: Any) -> Estimate:
    """Returns the mean of one value per example `(N,)` and its standard error std / sqrt(N).

    Args:
        values: One value for each example.
        unit: What the values count.
        seed: Seed of every draw behind them.
        **more: Further fields of `Estimate`.
    """
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return Estimate(float(values.mean()), unit, float(error), len(values), seed, per_example=values, **more)


def bootstrap_error(
    statistic: Callable[..., float], groups: tuple[np.ndarray, ...], seed: int, num_resamples: int = 50
) -> float:
    """Returns the bootstrap standard error of a statistic (Efron 1979).

    Args:
        statistic: Takes the groups, returns a number.
        groups: Arrays whose rows are drawn again with replacement, each on its own.
        seed: Seed of the draws.
        num_resamples: How many times to draw.
    """
    rng = np.random.default_rng(seed)
    # Waking several threads for matrices of some dozens of rows costs ten times what they save.
    with threadpool_limits(1):
        values = [
            statistic(*(group[rng.integers(0, len(group), len(group))] for group in groups))
            for _ in range(num_resamples)
        ]
    return float(np.std(values, ddof=1))
