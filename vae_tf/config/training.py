"""Options of a training run and of its checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from vae_tf import registry
from vae_tf.config.base import MAX_COUNT, Config, OneOf, UserPath
from vae_tf.config.data import DataConfig
from vae_tf.config.model import ModelConfig
from vae_tf.config.parts import DenseOptions
from vae_tf.support.errors import InputError
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.support.redaction import redact

FORMAT_KEY, FORMAT_VERSION = "format_version", 3
FIRST_VERSION_WITH_FIT = 3
# The toy datasets consist of 2D points instead of images, so they need different defaults.
TOY_DEFAULTS: dict[str, Any] = {
    "arch": "dense",
    "variant": "plain",
    "latent_dim": 2,
    "hidden_sizes": (64, 64, 64),
    "activation": "leaky_relu",
    "likelihood": "learned_gaussian",
    "sigma": 0.3,  # starting from 1, training gets stuck in a solution that models both circles as noise
    "batch_size": 512,
    "learning_rate": 5e-3,  # fits the data better than 100 epochs with batches of 128 at 1e-3, in about the same time
    "epochs": 300,
    "sample_every": 300,
}


class RunConfig(DataConfig, ModelConfig):
    """All options that affect the result of a training run. The toy datasets have their own defaults."""

    heading = "training"

    epochs: int = Field(10, ge=1, le=MAX_COUNT)
    """Number of passes over the training set."""
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Learning rate of Adam; with a schedule, the peak learning rate."""
    learning_rate_schedule: Annotated[str, OneOf("learning_rate_schedule", registry.LEARNING_RATE_SCHEDULES)] = (
        "constant"
    )
    """Learning rate schedule: constant; linear or cosine, which decay to 0; or exponential, which decays to 1% of the
    initial value."""
    warmup_steps: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    """Number of updates during which the learning rate rises from 0; only with the cosine schedule. Default: no
    warm-up."""
    clip_norm: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Clip the gradients to this global norm. Default: no clipping."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Keep an exponential moving average of the weights with this momentum, such as 0.999, and use it for the figures,
    the val_* metrics, the test ELBO and the saved model. Default: no averaging."""
    micro_batch_size: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    """Accumulate gradients over micro-batches of this many examples, to save memory; bn normalizes each micro-batch
    separately. Default: the whole batch in one step."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Precision of the hidden layers: float32, mixed_bfloat16, or mixed_float16 with loss scaling. Weights, output
    layers and losses are always float32."""
    jit: bool = False
    """Compile the training step with XLA."""
    on_nan: Literal["stop", "skip", "rollback"] = "skip"
    """What to do if the loss or a gradient is not finite: stop; skip, which skips the update and stops after 10 in a
    row; or rollback, which also skips, but after 10 in a row restores the weights of the last checkpoint."""
    deterministic: bool = True
    """Make runs with the same seed bit-identical; slower on a GPU, whose fastest kernels are not deterministic."""
    sampler: Annotated[str, OneOf("sampler", registry.SAMPLERS)] | None = None
    """Sampler to fit to the latents after training; samples then come from it instead of the prior. Default: no
    sampler."""
    sample_every: int = Field(1, ge=1, le=MAX_COUNT)
    """Number of epochs between figures of samples and reconstructions; the last epoch always has them."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Device to use: cpu, gpu, or auto, which uses a GPU if one is available."""

    @model_validator(mode="before")
    @classmethod
    def _add_toy_defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("dataset") not in registry.TOY_DATASETS:
            return values
        is_custom = values.get("arch") == registry.CUSTOM
        if values.get("arch", "dense") != "dense" and not is_custom:
            raise InputError(f"dataset={values['dataset']} needs arch=dense. Received: arch={values['arch']}")
        likelihood = values.get("likelihood", "gaussian")
        if likelihood in registry.LIKELIHOODS and likelihood not in ("gaussian", "learned_gaussian"):
            raise InputError(
                f"dataset={values['dataset']} has unbounded values: likelihood must be gaussian or learned_gaussian. "
                f"Received: likelihood={likelihood}"
            )
        of_dense_network = DenseOptions.model_fields if is_custom else ()
        defaults = {name: value for name, value in TOY_DEFAULTS.items() if name not in of_dense_network}
        return {**defaults, **values}

    @model_validator(mode="after")
    def _check_binarize(self) -> Self:
        if self.binarize != "none" and self.likelihood in ("continuous_bernoulli", "logistic_mixture"):
            raise InputError(
                f"likelihood={self.likelihood} models pixel intensities, not binary pixels. "
                f"Received: binarize={self.binarize}; remove one of the two"
            )
        return self

    @model_validator(mode="after")
    def _check_training_options(self) -> Self:
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
        """Returns the config in a YAML file, with defaults for missing keys.

        Raises:
            InputError: The file can't be read, is not a YAML mapping, or has an unknown key or an invalid value.
        """
        return cls(**cls.merge(read_yaml(path), {}))

    def to_yaml(self) -> str:
        """Returns YAML text that `from_yaml` reads back as an equal config."""
        return yaml.safe_dump({FORMAT_KEY: FORMAT_VERSION, **self.model_dump(mode="json")}, sort_keys=False)

    @classmethod
    def merge(cls, from_file: Mapping[str, Any], from_command_line: Mapping[str, Any]) -> dict[str, Any]:
        """Merges options from a file and from the command line, which takes precedence.

        Raises:
            InputError: The file was written by a later version of the package.
        """
        values = dict(from_file)
        version = values.pop(FORMAT_KEY, 1)  # files without the key have format 1
        if not (isinstance(version, int) and 1 <= version <= FORMAT_VERSION):
            raise InputError(
                f"{FORMAT_KEY} of a config must be an integer from 1 to {FORMAT_VERSION}. Received: {version}; use the "
                "version of vae_tf that wrote it, or a later one"
            )
        dataset = from_command_line.get("dataset", values.get("dataset"))
        if from_file and version < FIRST_VERSION_WITH_FIT and dataset not in registry.TOY_DATASETS:
            values.setdefault("fit", "stretch")  # what these versions always did
        return super().merge(values, from_command_line)

    def fill_in_defaults(self, example_shape: tuple[int, ...]) -> Self:
        """Returns a copy of the config in which every default that depends on the data is filled in.

        This is the config to save. A secret in `data_dir`, the only free text, is redacted; the user then has to pass
        `--data-dir` again.

        Args:
            example_shape: Shape of an example from the input pipeline, `(height, width, channels)` or `(features,)`.
        """
        update: dict[str, Any] = {"cache_dir": None}  # specific to this machine, and does not affect the results
        if len(example_shape) > 1:
            height, width, channels = example_shape
            update |= {"image_size": f"{height}x{width}", "fit": self.image_fit, "channels": channels}
        if self.data_dir is not None:
            update["data_dir"] = redact(str(Path(self.data_dir).resolve()))
        return self.model_copy(update=update)


class CheckpointConfig(Config):
    """When to save checkpoints of a run, and whether to resume from them."""

    heading = "checkpoints"

    resume: Literal["auto", "never"] = "auto"
    """auto: resume an unfinished run with the same options, found in the run folder or the checkpoint folder, or extend
    a finished one to more epochs. never: only start new runs."""
    checkpoint_dir: UserPath | None = None
    """Folder for checkpoints, for example on a mounted drive that outlives the machine. Default: inside the run
    folder."""
    checkpoint_steps: Annotated[int, Field(ge=1, le=MAX_COUNT)] | None = None
    """Number of updates between checkpoints, in addition to the one after each epoch. Default: off."""
    checkpoint_minutes: float = Field(10, gt=0, allow_inf_nan=False)
    """Minutes between checkpoints, in addition to the one after each epoch; ignored with several workers."""
    keep_checkpoints: int = Field(2, ge=1, le=MAX_COUNT)
    """Number of most recent checkpoints to keep."""
