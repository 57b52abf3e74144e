"""Options of an evaluation."""

from typing import Literal

from pydantic import Field

from vae_tf.config.base import LARGEST_COUNT, Config


class EvaluationConfig(Config):
    """What decides the numbers of an evaluation."""

    split: Literal["test", "val"] = "test"
    """Split to measure on."""
    nll_samples: int = Field(100, ge=1, le=LARGEST_COUNT)
    """Posterior draws per image for the likelihood."""
    nll_images: int = Field(500, ge=2, le=LARGEST_COUNT)
    """Images for the likelihood, the first of the split."""
    features: Literal["classifier", "inception"] = "classifier"
    """Feature space in which samples are compared with real images."""
    sampler: Literal["prior"] | None = None
    """prior draws samples from the prior although the run has a sampler. Default: the run's sampler, if it has one."""
