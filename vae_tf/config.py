"""What a run is made of: typed, frozen, validated, read from and written to YAML.

A `RunConfig` is flat, so that a key in a YAML file and an option of the command line are the same word.
Its three parts are base classes, so that a function names the part it needs: `def load(config: DataConfig)`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vae_tf import registry
from vae_tf.support.errors import UNPRINTABLE, InputError
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.support.redaction import redacted

SMALLEST_SIDE = 8
LARGEST_SIDE = 4096
LARGEST_WIDTH = 2**16
LARGEST_COUNT = 2**20
LARGEST_SEED = 2**31 - 1
LARGEST_NOISE = 10.0
LONGEST_RECEIVED = 200
DEFAULT_HIDDEN_SIZES = (512, 256)
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


def _one_of(kind: str, known: Any) -> BeforeValidator:
    return BeforeValidator(lambda name: registry.check_name(kind, str(name), known))


def _variant(name: object) -> str:
    known = (*registry.VARIANTS, *registry.VARIANT_ALIASES)
    name = registry.check_name("variant", str(name), known)
    return registry.VARIANT_ALIASES.get(name, name)


def _image_size(value: object) -> object:
    """`50`, `"50"`, `"64x48"` or `[64, 48]` (height, width) to `"HxW"`."""
    if value is None:
        return None
    sides = list(value) if isinstance(value, (list, tuple)) else str(value).lower().split("x")
    if len(sides) == 1:
        sides *= 2
    try:
        height, width = (int(str(side)) for side in sides)
    except ValueError:
        raise InputError(
            f"image_size must be a side or HEIGHTxWIDTH in pixels, as 50 or 64x48. Received: image_size={value}"
        ) from None
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"image_size must be at least {SMALLEST_SIDE} pixels a side. Received: image_size={value}")
    if max(height, width) > LARGEST_SIDE:
        raise InputError(f"image_size must be at most {LARGEST_SIDE} pixels a side. Received: image_size={value}")
    return f"{height}x{width}"


def _whole(value: object) -> object:
    """The command line delivers `"1"`, which a Literal of numbers would not take."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _list_of_numbers(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


def _expanded(value: str) -> str:
    if UNPRINTABLE.search(value):
        raise InputError(f"A path must be one line without control characters. Received: {value!r}")
    try:
        path = Path(value).expanduser()
        path.resolve()
    except RuntimeError as error:  # ~ of a user there is not, or a link to itself
        raise InputError(f"A path must name a place that can be found. Received: {value} ({error})") from None
    return str(path)


def _corruption(value: object) -> object:
    """`"gaussian:0.3"` if kind and amount are ones there are."""
    if value == "none":
        return value
    kind, _, amount = str(value).partition(":")
    registry.check_name("corrupt", kind, ("none", *registry.CORRUPTIONS))
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    largest = LARGEST_NOISE if kind == "gaussian" else 1.0
    if not 0 < number <= largest:
        raise InputError(
            f"corrupt must name a kind and an amount in (0, {largest:g}], as {kind}:0.3. Received: corrupt={value}"
        )
    return f"{kind}:{number:g}"


Units = Annotated[int, Field(ge=1, le=LARGEST_WIDTH)]
HiddenSizes = Annotated[tuple[Units, ...], Field(min_length=1), BeforeValidator(_list_of_numbers)]
Variant = Annotated[str, BeforeValidator(_variant)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
UserPath = Annotated[str, Field(min_length=1), AfterValidator(_expanded)]


class Config(BaseModel):
    """Base of everything a user can set: frozen, without unknown keys, its faults told in one line.

    Raises:
        InputError: A key is unknown or a value is not allowed; says which and what is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def __init__(self, /, **values: Any) -> None:  # so that even a key "self" is told to be unknown
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_one_line(error.errors()[0], type(self))) from None

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        if isinstance(value, bool) and cls.model_fields[name].annotation is not bool:
            raise InputError(f"{name} must be a value, not true or false. Received: {name}={value}")
        return value


class DataConfig(Config):
    """Which pictures, in which shape, split how."""

    dataset: Annotated[str, _one_of("dataset", registry.DATASETS)] = "fashion_mnist_sample"
    """fashion_mnist_sample (embedded), fashion_mnist, mnist, cifar10, stl10, stl10_unlabeled, folder, npz or npy; or
    points of a plane: moons, circles, blobs, whose defaults are others (dense, plain, 2 latents, learned_gaussian)."""
    data_dir: UserPath | None = None
    """Where the data is: a folder (folder, or a named set on disk) or a file (npz, npy, .txt list for folder)."""
    image_size: Annotated[str, BeforeValidator(_image_size)] | None = None
    """Resize to this side, or HEIGHTxWIDTH, in pixels. Default: as the data is; 64 for a folder."""
    channels: Annotated[Literal[1, 3], BeforeValidator(_whole)] | None = None
    """1 for grey, 3 for colour. Default: as the data is; 3 for a folder."""
    binarize: Literal["none", "static", "dynamic"] = "none"
    """Draw 0/1 pixels with the grey value as probability: once (static) or afresh every epoch (dynamic)."""
    conditional: bool = False
    """Condition encoder and decoder on the class of each picture, in labelled data."""
    corrupt: Annotated[str, BeforeValidator(_corruption)] = "none"
    """Learn to restore what noise has corrupted: gaussian:0.3, salt-pepper:0.1 or mask:0.5."""
    val_fraction: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False)
    """Part of the train split that is held out for the val_* columns; 0 for none."""
    cache_dir: UserPath | None = None
    """Folder in which the decoded pictures of dataset=folder are kept, and read from in later epochs and runs."""
    batch_size: int = Field(128, ge=1, le=LARGEST_COUNT)
    """Pictures per update."""
    seed: Seed = 0
    """Seed of splits, order, weights and noise."""

    @model_validator(mode="after")
    def _cache_for_files_to_decode(self) -> Self:
        if self.cache_dir is not None and self.dataset != "folder":
            raise InputError(f"cache_dir needs dataset=folder. Received: dataset={self.dataset}")
        return self

    @model_validator(mode="after")
    def _picture_options_for_pictures(self) -> Self:
        if self.dataset in registry.TOY_DATASETS:
            for name in ("data_dir", "image_size", "channels", "corrupt", "binarize"):
                if getattr(self, name) not in (None, "none"):
                    raise InputError(
                        f"{name} needs pictures. Received: dataset={self.dataset}, {name}={getattr(self, name)}"
                    )
        return self


class ModelConfig(Config):
    """Which network and which probability model."""

    arch: Annotated[str, _one_of("arch", registry.BACKBONES)] = "conv"
    """conv or dense."""
    variant: Variant = "bn"
    """plain (v1), or bn (v2) with batch normalization."""
    latent_dim: int = Field(128, ge=1, le=LARGEST_WIDTH)
    """Number of latent dimensions."""
    hidden_sizes: HiddenSizes | None = None
    """Units of the dense encoder's hidden layers, as 512,256; mirrored in the decoder."""
    activation: Annotated[str, _one_of("activation", registry.ACTIVATIONS)] | None = None
    """Activation of the dense hidden layers. Default: relu."""
    likelihood: Annotated[str, _one_of("likelihood", registry.LIKELIHOODS)] = "bernoulli"
    """bernoulli, gaussian, learned_gaussian, continuous_bernoulli or logistic_mixture (8-bit pixels)."""
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Standard deviation of the gaussian likelihood, where that of learned_gaussian begins. Default: 1."""
    beta: float = Field(1.0, ge=0, le=1e6, allow_inf_nan=False)
    """Weight of the KL term in the training loss."""

    @model_validator(mode="after")
    def _no_option_without_effect(self) -> Self:
        for name, value, owner in (
            ("hidden_sizes", self.hidden_sizes, "arch=dense"),
            ("activation", self.activation, "arch=dense"),
            ("sigma", self.sigma, "likelihood=gaussian or learned_gaussian"),
        ):
            key, _, wanted = owner.partition("=")
            if value is not None and getattr(self, key) not in wanted.split(" or "):
                raise InputError(f"{name} needs {owner}. Received: {key}={getattr(self, key)}, {name}={value}")
        return self


class RunConfig(DataConfig, ModelConfig):
    """Everything that decides what a training run computes. The toy sets have defaults of their own."""

    epochs: int = Field(10, ge=1, le=LARGEST_COUNT)
    """Passes over the training pictures."""
    learning_rate: float = Field(1e-3, gt=0, allow_inf_nan=False)
    """Step size of Adam, where a schedule begins or its warm-up ends."""
    learning_rate_schedule: Annotated[str, _one_of("learning_rate_schedule", registry.LEARNING_RATE_SCHEDULES)] = (
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
        return cls(**read_yaml(path))

    def to_yaml(self) -> str:
        """Returns YAML text from which `from_yaml` makes an equal config."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def resolved(self, example_shape: tuple[int, ...]) -> Self:
        """Returns the config with every default that depends on the data or on another key spelled out.

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
        if self.arch == "dense":
            update["hidden_sizes"] = self.hidden_sizes or DEFAULT_HIDDEN_SIZES
            update["activation"] = self.activation or "relu"
        if self.likelihood in ("gaussian", "learned_gaussian"):
            update["sigma"] = self.sigma or 1.0
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


@dataclass(frozen=True)
class DatasetSpec:
    """What the model and the reports need to know of a dataset.

    Attributes:
        name: The name in the registry.
        example_shape: What the pipeline delivers: pictures `(height, width, channels)`, or rows `(features,)`.
        num_train, num_val, num_test: Examples in each split.
        num_classes: Number of classes, or `None` where no split is labelled.
        class_names: The folders that gave the classes, in the order of the labels; else `None`.
    """

    name: str
    example_shape: tuple[int, ...]
    num_train: int
    num_val: int
    num_test: int
    num_classes: int | None
    class_names: tuple[str, ...] | None = None

    @property
    def noun(self) -> str:
        """What an example is: `"image"` or `"row"`."""
        return "image" if len(self.example_shape) > 1 else "row"


def examples_noun(example_shape: Sequence[int]) -> str:
    """Returns what to call several examples of a shape: `"pictures"` or `"rows"`."""
    return "pictures" if len(example_shape) > 1 else "rows"


_REQUIREMENTS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "finite_number": "a finite number",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_too_short": "a text of at least one character",
    "tuple_type": "a list, as 512,256",
    "too_short": "a list of at least {min_length} item",
    "literal_error": "one of {expected}",
}


def _one_line(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """A pydantic error as one line in the package's words."""
    name = str(error["loc"][0]) if error["loc"] else ""
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        return f"Unknown config key '{name}'{registry.did_you_mean(name, model.model_fields)}"
    if error["type"] == "missing":
        return f"{name} is required"
    if error["type"] == "value_error":
        return str(context["error"])
    requirement = _REQUIREMENTS.get(error["type"])
    requirement = requirement.format(**context) if requirement else f"valid ({error['msg']})"
    return f"{name} must be {requirement}. Received: {name}={_shown(error['input'])}"


def _shown(value: object) -> str:
    try:
        return f"{redacted(str(value)):.{LONGEST_RECEIVED}}"
    except ValueError:  # Python writes no number of so many digits
        return "a number of thousands of digits"
