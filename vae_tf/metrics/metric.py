"""The metrics of a run: unit, direction of improvement, and what two runs must share for a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vae_tf.data.modality import IMAGE, Modality
from vae_tf.metrics.estimate import Estimate, mean_estimate

LOWER, HIGHER = -1, 1

# What two runs must share besides the data: the kind of likelihood, or the input of the encoder.
Condition = Literal["likelihood", "input"]


@dataclass(frozen=True)
class Metric:
    """A metric of a model: its name, its unit, and whether higher or lower is better.

    Attributes:
        name: Name in `metrics.json`, to which the name of a feature space may be appended.
        unit: Unit, `1` if dimensionless; `{noun}` and `{value}` are replaced with the modality's words.
        direction: `HIGHER` or `LOWER`, whichever is better, or 0 if the metric is only descriptive.
        conditions: What two runs must share for this metric to be comparable, besides the data.
    """

    name: str
    unit: str
    direction: int = 0
    conditions: frozenset[Condition] = frozenset()

    def unit_for(self, modality: Modality) -> str:
        """Returns the unit for examples of a modality."""
        return self.unit.format(noun=modality.name, value=modality.value_name)

    def mean(self, values: np.ndarray, seed: int, modality: Modality = IMAGE, **kwargs: Any) -> Estimate:
        """Returns the mean of one value per example `(N,)` as an estimate; see `mean_estimate` for the arguments."""
        return mean_estimate(values, self.unit_for(modality), seed, **kwargs)


def _metrics(conditions: Sequence[Condition], *metrics: tuple[str, str, int]) -> dict[str, Metric]:
    return {name: Metric(name, unit, direction, frozenset(conditions)) for name, unit, direction in metrics}


METRICS = {
    **_metrics(
        ("likelihood", "input"),
        ("elbo", "nats per {noun}", HIGHER),
        ("reconstruction_loss", "nats per {noun}", 0),
        ("nll", "nats per {noun}", LOWER),
        ("bits_per_dim", "bits per dimension", LOWER),
        ("cross_entropy_bound", "nats per {noun}", LOWER),
    ),
    **_metrics(
        ("input",),
        ("reconstruction_mse", "squared {value}", LOWER),
        ("reconstruction_psnr", "dB", HIGHER),
        ("reconstruction_ssim", "1", HIGHER),
        ("psnr_gain", "dB over the corrupted image", HIGHER),
    ),
    **_metrics(
        (),
        ("kl_loss", "nats per {noun}", 0),
        ("active_units", "latent dimensions", 0),
        ("mutual_information", "nats", 0),
        ("probe_accuracy_latents", "1", HIGHER),
        ("class_left_in_latents", "1", 0),
        ("frechet_distance", "squared feature distance", LOWER),
        ("precision", "1", HIGHER),
        ("recall", "1", HIGHER),
        ("density", "1", HIGHER),
        ("coverage", "1", HIGHER),
        ("sliced_wasserstein", "data units", LOWER),
    ),
}


def get_metric(name: str) -> Metric:
    """Returns the metric for a name in `metrics.json`, which may end in the name of a feature space.

    Raises:
        LookupError: There is no such metric.
    """
    candidates = [key for key in METRICS if name == key or name.startswith(f"{key}_")]
    if not candidates:
        raise LookupError(f"Unknown metric. Received: {name}")
    return METRICS[max(candidates, key=len)]
