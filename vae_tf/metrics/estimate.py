"""The value of a metric with its unit, its standard error, and what it was computed from."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Estimate:
    """An estimated metric.

    Attributes:
        value: The estimate.
        unit: Unit of the value, such as `"nats per image"`.
        standard_error: Standard error of the value over the examples; for a distance between real and generated
            examples, over both.
        num_examples: Number of examples the value was computed from.
        seed: Random seed.
        num_samples: Number of samples, per example or in total; `None` if the metric needs no samples.
        note: Caveat to show with the value; may be empty.
        per_example: The values that `value` is the mean of, float64 `(num_examples,)`; `None` if it is not such a mean.
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
        """Returns the fields that are set, for JSON, without `per_example`."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "per_example"}
        return {name: value for name, value in values.items() if value not in (None, "")}


def mean_estimate(values: np.ndarray, unit: str, seed: int, **kwargs: Any) -> Estimate:
    """Returns the mean of one value per example `(N,)`, with its standard error std / sqrt(N).

    Args:
        values: One value per example.
        unit: Unit of the values.
        seed: Random seed that the values were computed with.
        **kwargs: Other fields of `Estimate`.
    """
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return Estimate(float(values.mean()), unit, float(error), len(values), seed, per_example=values, **kwargs)


def bootstrap_error(
    statistic: Callable[..., float], groups: tuple[np.ndarray, ...], seed: int, num_resamples: int = 50
) -> float:
    """Returns the bootstrap standard error of a statistic (Efron 1979).

    Args:
        statistic: Function that maps the groups to a number.
        groups: Arrays whose rows are resampled with replacement, each array independently.
        seed: Random seed for the resampling.
        num_resamples: Number of resamples.
    """
    rng = np.random.default_rng(seed)
    # For matrices with a few dozen rows, waking up several threads takes ten times as long as they save.
    with threadpool_limits(1):
        values = [
            statistic(*(group[rng.integers(0, len(group), len(group))] for group in groups))
            for _ in range(num_resamples)
        ]
    return float(np.std(values, ddof=1))
