"""Options of the commands that read a finished run."""

from typing import Annotated, Literal

from pydantic import Field

from vae_tf.config.base import MAX_COUNT, Config, OneOf, UserPath
from vae_tf.registry import PRIOR


class RunFolderConfig(Config):
    """The finished run that a command reads, and the device on which the command computes."""

    heading = "run"

    run: UserPath
    """Run folder."""
    data_dir: UserPath | None = None
    """Path to the data, if it has moved since training. Default: the path used in training."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device to use: cpu, gpu, or auto, which uses a GPU if one is available."""


class EvaluationConfig(Config):
    """The options that affect the results of an evaluation."""

    heading = "evaluation"

    split: Literal["test", "val"] = "test"
    """Split to evaluate."""
    nll_samples: int = Field(100, ge=1, le=MAX_COUNT)
    """Number of importance samples per image for the estimate of the log-likelihood."""
    nll_images: int = Field(500, ge=2, le=MAX_COUNT)
    """Number of images for the estimate of the log-likelihood, taken from the start of the split."""
    features: Literal["classifier", "inception"] = "classifier"
    """Feature space in which samples are compared with real images: that of a classifier trained on the dataset, or of
    Inception-v3."""
    sampler: Annotated[str, OneOf("sampler", (PRIOR,))] | None = None
    """Sample from the prior, even if a run has a fitted sampler. Default: use each run's sampler, if it has one."""
