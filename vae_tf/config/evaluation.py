"""Evaluation options."""

from typing import Literal

from pydantic import Field

from vae_tf.config.base import MAX_COUNT, Config


class EvaluationConfig(Config):
    """The options that affect the results of an evaluation."""

    split: Literal["test", "val"] = "test"
    """Split to evaluate: test or val."""
    nll_samples: int = Field(100, ge=1, le=MAX_COUNT)
    """Number of posterior samples per image for the likelihood estimate."""
    nll_images: int = Field(500, ge=2, le=MAX_COUNT)
    """Number of images for the likelihood estimate, taken from the start of the split."""
    features: Literal["classifier", "inception"] = "classifier"
    """Feature space in which samples are compared with real images: classifier or inception."""
    sampler: Literal["prior"] | None = None
    """Set to prior to sample from the prior although the run has a fitted sampler. Default: the run's sampler, if it
    has one."""
