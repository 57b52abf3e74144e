"""The options of each model part, and a config that contains the options of the selected parts.

The name of an option begins with the kind of its part, as in `prior_components`; options that date from the original
notebooks keep their names.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from vae_tf import registry
from vae_tf.config.base import MAX_WIDTH, Config, OneOf
from vae_tf.support.errors import InputError
from vae_tf.support.names import did_you_mean

DEFAULT_HIDDEN_SIZES = (512, 256)
MAX_COMPONENTS = 10_000


def _split_list(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Units = Annotated[int, Field(ge=1, le=MAX_WIDTH)]
HiddenSizes = Annotated[tuple[Units, ...], Field(min_length=1), BeforeValidator(_split_list)]


class PartOptions(Config):
    """Base class of the options of a model part."""

    kind: ClassVar[str]
    """The config option that selects the part."""

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the part's constructor: the options, with the kind removed from their names."""
        return {name.removeprefix(f"{self.kind}_"): getattr(self, name) for name in type(self).model_fields}


PartOptionsT = TypeVar("PartOptionsT", bound=PartOptions)


class DenseOptions(PartOptions):
    """Options of the dense network."""

    kind = "arch"

    hidden_sizes: HiddenSizes = DEFAULT_HIDDEN_SIZES
    """Number of units in each hidden layer of the dense encoder, such as 512,256; the decoder mirrors them."""
    activation: Annotated[str, OneOf("activation", registry.ACTIVATIONS)] = "relu"
    """Activation of the dense network's hidden layers."""


class MixtureOptions(PartOptions):
    """Options of the mixture prior."""

    kind = "prior"

    prior_components: int = Field(10, ge=1, le=MAX_COMPONENTS)
    """Number of Gaussian components in the mixture prior."""


class GaussianOptions(PartOptions):
    """Options of the Gaussian likelihoods."""

    kind = "likelihood"

    sigma: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Standard deviation of the gaussian likelihood; with learned_gaussian, its initial value."""


class FreeBitsOptions(PartOptions):
    """Options of the free bits objective."""

    kind = "objective"

    objective_free_bits: float = Field(0.1, ge=0, allow_inf_nan=False)
    """Threshold in nats below which the KL of a latent dimension is not penalized."""


class GMMOptions(PartOptions):
    """Options of the Gaussian mixture sampler."""

    kind = "sampler"

    sampler_components: int = Field(10, ge=1, le=MAX_COMPONENTS)
    """Number of components of the Gaussian mixture sampler; per class if the model is conditional."""


class PartsConfig(Config):
    """A config that selects parts: each field named after a kind of part in the registry selects one.

    The options of the selected parts are ordinary attributes; the options of other parts are absent.
    """

    model_config = ConfigDict(extra="allow")  # for the options of parts, which the validator below checks

    @model_validator(mode="before")
    @classmethod
    def _add_part_options(cls, values: dict[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        extra = {name: value for name, value in values.items() if name not in own}
        known = cls.extra_fields()
        for name in extra:
            if name not in known:
                suggestion = did_you_mean(name, (*cls.model_fields, *known))
                raise InputError(f"Unknown config key '{name}'{suggestion}")
        return {**own, **_validate_part_options(cls.get_part_names(own), extra)}

    @classmethod
    def extra_fields(cls) -> dict[str, FieldInfo]:
        """Returns the options of all parts that this config can select, keyed by name."""
        targets = dict.fromkeys(target for (kind, _), target in registry.OPTIONS.items() if kind in cls.model_fields)
        return {name: field for target in targets for name, field in registry.resolve(target).model_fields.items()}

    @classmethod
    def headings(cls) -> dict[str, str]:
        """Returns the heading of each option; those of a part are listed with the option that selects the part."""
        headings = super().headings()
        for (kind, _), target in registry.OPTIONS.items():
            if kind in headings:
                headings |= dict.fromkeys(registry.resolve(target).model_fields, headings[kind])
        return headings

    @classmethod
    def merge(cls, from_file: Mapping[str, Any], from_command_line: Mapping[str, Any]) -> dict[str, Any]:
        """Merges options from a file and from the command line, which takes precedence.

        If the command line replaces a part, the file's options for the replaced part are dropped.
        """
        before, after = cls.get_part_names(from_file), cls.get_part_names({**from_file, **from_command_line})
        changed = [kind for kind in registry.PARTS if before.get(kind) != after.get(kind)]
        kept = {option for kind, name in after.items() for option in get_option_names(kind, name)}
        dropped = {option for kind in changed for option in get_option_names(kind, before.get(kind))} - kept
        return super().merge(
            {name: value for name, value in from_file.items() if name not in dropped}, from_command_line
        )

    def options(self, options_class: type[PartOptionsT]) -> PartOptionsT:
        """Returns the options of a selected part as an instance of their own class."""
        return options_class(**{name: getattr(self, name) for name in options_class.model_fields})

    def arguments(self, kind: str) -> dict[str, Any]:
        """Returns the constructor arguments for the selected part of a kind, such as `"prior"`."""
        options = _get_options_class(kind, getattr(self, kind))
        return {} if options is None else self.options(options).arguments()

    @classmethod
    def get_part_names(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the name of the part of each kind: the one in `values`, otherwise the default, if any."""
        kinds = [kind for kind in registry.PARTS if kind in cls.model_fields]
        selected = {kind: values.get(kind) or cls.model_fields[kind].get_default() for kind in kinds}
        return {kind: str(name) for kind, name in selected.items() if isinstance(name, str)}


def _get_options_class(kind: str, name: str | None) -> type[PartOptions] | None:
    """Returns the options class of a part, or `None` if the part has no options."""
    target = registry.OPTIONS.get((kind, name or ""))
    return None if target is None else registry.resolve(target)


def get_option_names(kind: str, name: str | None) -> Iterable[str]:
    """Returns the names of a part's options, such as `sampler_components` for `"sampler"` and `"gmm"`."""
    options = _get_options_class(kind, name)
    return () if options is None else options.model_fields


def _validate_part_options(parts: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of the selected parts: the given values, and defaults for the rest.

    Args:
        parts: Name of each part, keyed by its kind.
        given: Values, keyed by option name; `None` stands for the default.

    Raises:
        InputError: An option belongs to a part that is not selected, or its value is invalid.
    """
    rest = {name: value for name, value in given.items() if value is not None}
    validated: dict[str, Any] = {}
    for kind, name in parts.items():
        options = _get_options_class(kind, name)
        if options is not None:
            own = {option: rest.pop(option) for option in options.model_fields if option in rest}
            validated |= options(**own).model_dump()
    for option, value in rest.items():
        owners = [key for key in registry.OPTIONS if option in get_option_names(*key)]
        kind, names = owners[0][0], " or ".join(name for _, name in owners)
        received = parts.get(kind, "none")
        raise InputError(f"{option} needs {kind}={names}. Received: {kind}={received}, {option}={value}")
    return validated
