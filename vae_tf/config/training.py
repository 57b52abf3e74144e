"""Options of a training run, and of its checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from vae_tf import registry
from vae_tf.config.base import LARGEST_COUNT, Config, UserPath, one_of
from vae_tf.config.data import DataConfig
from vae_tf.config.model import ModelConfig
from vae_tf.support.errors import InputError
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.support.redaction import redacted

FORMAT_KEY, FORMAT = "format_version", 2
# Points of a plane are not pictures: what a user gets who names a toy set and nothing else.
TOY_DEFAULTS: dict[str, Any] = {
    "arch": "dense",
    "variant": "plain",
    "latent_dim": 2,
    "hidden_sizes": (64, 64, 64),
    "activation": "leaky_relu",
    "likelihood": "learned_gaussian",
    "sigma": 0.3,  # from 1, both circles are called noise, and stay it
    "batch_size": 512,
    "learning_rate": 5e-3,  # ends nearer to the data than 100 epochs of batches of 128 at 1e-3, in about the same time
    "epochs": 300,
    "sample_every": 300,
}


class RunConfig(DataConfig, ModelConfig):
    """Everything that decides what a training run computes. The toy sets have defaults of their own."""

    sampler: Annotated[str, one_of("sampler", registry.SAMPLERS)] | None = None
    """Fitted to the latents after training, to draw samples from in place of the prior. Default: none."""
    epochs: int = Field(10, ge=1, le=LARGEST_COUNT)
    """Passes over the training pictures."""
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Step size of Adam, where a schedule begins or its warm-up ends."""
    learning_rate_schedule: Annotated[str, one_of("learning_rate_schedule", registry.LEARNING_RATE_SCHEDULES)] = (
        "constant"
    )
    """constant; linear or cosine, to 0 at the last update; or exponential, to a hundredth."""
    warmup_steps: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None = None
    """Updates in which the learning rate rises from 0, before cosine. Default: none."""
    clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Largest norm of the gradients of all weights together; longer ones are scaled down to it."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Average the weights with this momentum, as 0.999, for pictures, val_*, the test line and the saved model."""
    micro_batch_size: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None = None
    """Add up the gradients of a batch from parts of so many pictures, to save memory; bn normalizes each part."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Numbers of the hidden layers; weights, last layers and losses are float32, and mixed_float16 scales the loss."""
    jit: bool = False
    """Compile the training step with XLA."""
    on_nan: Literal["stop", "skip", "rollback"] = "skip"
    """Where loss or gradient is not finite: stop; skip the update, and stop after 10 in a row; or go on after those
    with the weights of the last checkpoint."""
    deterministic: bool = True
    """The same bits from the same seed; slower on a GPU, whose fastest kernels are not."""
    sample_every: int = Field(1, ge=1, le=LARGEST_COUNT)
    """Draw the two pictures every so many epochs, and at the end."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""

    @model_validator(mode="before")
    @classmethod
    def _toy_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("dataset") not in registry.TOY_DATASETS:
            return values
        if values.get("arch", "dense") != "dense":
            raise InputError(f"dataset={values['dataset']} needs arch=dense. Received: arch={values['arch']}")
        likelihood = values.get("likelihood", "gaussian")
        if likelihood in registry.LIKELIHOODS and likelihood not in ("gaussian", "learned_gaussian"):
            raise InputError(
                f"dataset={values['dataset']} has values of any size: likelihood must be gaussian or learned_gaussian. "
                f"Received: likelihood={likelihood}"
            )
        return {**TOY_DEFAULTS, **values}

    @model_validator(mode="after")
    def _binary_pixels_for_what_has_them(self) -> Self:
        if self.binarize != "none" and self.likelihood in ("continuous_bernoulli", "logistic_mixture"):
            raise InputError(
                f"likelihood={self.likelihood} is of grey values. Received: binarize={self.binarize}; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _no_training_option_without_effect(self) -> Self:
        if self.warmup_steps is not None and self.learning_rate_schedule != "cosine":
            raise InputError(
                f"warmup_steps needs learning_rate_schedule=cosine. Received: "
                f"learning_rate_schedule={self.learning_rate_schedule}, warmup_steps={self.warmup_steps}"
            )
        if self.micro_batch_size is not None and self.micro_batch_size >= self.batch_size:
            raise InputError(
                f"micro_batch_size must be less than batch_size. "
                f"Received: micro_batch_size={self.micro_batch_size}, batch_size={self.batch_size}"
            )
        return self

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Returns the config that a YAML file describes: defaults where the file is silent.

        Raises:
            InputError: The file can't be read, is no YAML mapping, or holds a wrong key or value.
        """
        return cls(**cls.merged(read_yaml(path), {}))

    def to_yaml(self) -> str:
        """Returns YAML text from which `from_yaml` makes an equal config."""
        return yaml.safe_dump({FORMAT_KEY: FORMAT, **self.model_dump(mode="json")}, sort_keys=False)

    @classmethod
    def merged(cls, from_file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns options from a file and from the command line together; the command line wins.

        Raises:
            InputError: The file has a format of a later version of the package.
        """
        values = dict(from_file)
        version = values.pop(FORMAT_KEY, 1)  # files without the key are of format 1, whose keys mean the same
        if not (isinstance(version, int) and 1 <= version <= FORMAT):
            raise InputError(
                f"{FORMAT_KEY} of a config must be at most {FORMAT}. Received: {version}; use the version of "
                "vae_tf that wrote it, or a later one"
            )
        return super().merged(values, given)

    def resolved(self, example_shape: tuple[int, ...]) -> Self:
        """Returns the config with every default that depends on the data spelled out.

        It is the one to keep: a secret in `data_dir`, the only free text, is left out, and `--data-dir` names the
        place again.

        Args:
            example_shape: `(height, width, channels)` or `(features,)` that the pipeline delivers.
        """
        update: dict[str, Any] = {"cache_dir": None}  # a place of this machine, which changes no number
        if len(example_shape) > 1:
            height, width, channels = example_shape
            update |= {"image_size": f"{height}x{width}", "channels": channels}
        if self.data_dir is not None:
            update["data_dir"] = redacted(str(Path(self.data_dir).resolve()))
        return self.model_copy(update=update)


class CheckpointConfig(Config):
    """When a run is saved while it trains, and whether it goes on from there."""

    resume: Literal["auto", "never"] = "auto"
    """Go on with the unfinished run of the same options in run_dir or checkpoint_dir, also with more epochs."""
    checkpoint_dir: UserPath | None = None
    """Where to save the state of training, as a mounted drive that outlives the machine. Default: in the run folder."""
    checkpoint_steps: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None = None
    """Save after every so many updates, beside after every epoch."""
    checkpoint_minutes: float = Field(10, gt=0, allow_inf_nan=False)
    """Save after so many minutes, beside after every epoch; of several workers, none looks at its clock."""
    keep_checkpoints: int = Field(2, ge=1, le=LARGEST_COUNT)
    """How many saved states to keep."""
