"""Every metric of a run: its unit, which way is better, and what must be equal for two of them to be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vae_tf.data.modality import IMAGE, Modality
from vae_tf.metrics.estimate import Estimate, mean_estimate

LOWER, HIGHER = -1, 1

# Two runs must agree in this, besides the data: what the likelihood is of, or what the encoder is given.
Condition = Literal["likelihood", "input"]


@dataclass(frozen=True)
class Metric:
    """A number about a model.

    Attributes:
        name: Its name in `metrics.json`; one in a feature space has the name of the space at its end.
        unit: Its unit; `{noun}` and `{value}` stand for the modality's words.
        better: `HIGHER`, `LOWER`, or 0 for a number that describes and ranks nothing.
        conditions: What two runs must have in common for it to be compared, besides the data it is measured on.
    """

    name: str
    unit: str
    better: int = 0
    conditions: frozenset[Condition] = frozenset()

    def unit_for(self, modality: Modality) -> str:
        """Returns the unit for examples of a modality."""
        return self.unit.format(noun=modality.noun, value=modality.value)

    def mean(self, values: np.ndarray, seed: int, modality: Modality = IMAGE, **more: Any) -> Estimate:
        """Returns the mean of one value per example `(N,)` as an estimate; the rest is as of `mean_estimate`."""
        return mean_estimate(values, self.unit_for(modality), seed, **more)


def _metrics(conditions: Sequence[Condition], *metrics: tuple[str, str, int]) -> dict[str, Metric]:
    return {name: Metric(name, unit, better, frozenset(conditions)) for name, unit, better in metrics}


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


def metric_of(name: str) -> Metric:
    """Returns the metric with a name as in `metrics.json`.

    Raises:
        LookupError: There is none.
    """
    if name in METRICS:
        return METRICS[name]
    return next(METRICS[start] for start in sorted(METRICS, key=len, reverse=True) if name.startswith(f"{start}_"))
