"""Evaluation options."""

from typing import Literal

from pydantic import Field

from vae_tf.config.base import LARGEST_COUNT, Config


class EvaluationConfig(Config):
    """The options that determine the results of an evaluation."""

    split: Literal["test", "val"] = "test"
    """Split to evaluate on: test or val."""
    nll_samples: int = Field(100, ge=1, le=LARGEST_COUNT)
    """Posterior samples per image for the likelihood estimate."""
    nll_images: int = Field(500, ge=2, le=LARGEST_COUNT)
    """Number of images, from the start of the split, for the likelihood estimate."""
    features: Literal["classifier", "inception"] = "classifier"
    """Feature space in which samples are compared with real images: classifier or inception."""
    sampler: Literal["prior"] | None = None
    """prior: draw samples from the prior even if the run has a sampler. Default: the run's sampler, if it has one."""
