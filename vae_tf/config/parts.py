"""The options of each part of a model, and a config that holds those of the parts that are chosen.

The name of an option begins with the kind of its part, as `prior_components`; those of the notebooks keep their names.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from vae_tf import registry
from vae_tf.config.base import LARGEST_WIDTH, Config, one_of
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name, did_you_mean

DEFAULT_HIDDEN_SIZES = (512, 256)


def _list_of_numbers(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Units = Annotated[int, Field(ge=1, le=LARGEST_WIDTH)]
HiddenSizes = Annotated[tuple[Units, ...], Field(min_length=1), BeforeValidator(_list_of_numbers)]


class PartOptions(Config):
    """Base of the options of a part."""

    kind: ClassVar[str]
    """The option that chooses the part."""

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of the part's constructor: the options without the kind in front."""
        return {name.removeprefix(f"{self.kind}_"): getattr(self, name) for name in type(self).model_fields}


PartOptionsT = TypeVar("PartOptionsT", bound=PartOptions)


class DenseOptions(PartOptions):
    """Options of the dense network."""

    kind = "arch"

    hidden_sizes: HiddenSizes = DEFAULT_HIDDEN_SIZES
    """Units of the dense encoder's hidden layers, as 512,256; mirrored in the decoder."""
    activation: Annotated[str, one_of("activation", registry.ACTIVATIONS)] = "relu"
    """Activation of the dense hidden layers."""


class GaussianOptions(PartOptions):
    """Options of the normal likelihoods."""

    kind = "likelihood"

    sigma: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Standard deviation of the gaussian likelihood; for learned_gaussian the one it starts from."""


class PartsConfig(Config):
    """A config that chooses parts: each field that is named like a kind of part in the registry chooses one.

    The options of a part are attributes like all others, but only if the part is chosen.
    """

    model_config = ConfigDict(extra="allow")  # for the options of parts, which the validator checks

    @model_validator(mode="before")
    @classmethod
    def _options_of_chosen_parts(cls, values: dict[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in values.items() if name in cls.model_fields}
        given = {name: value for name, value in values.items() if name not in own}
        known = cls.further_fields()
        for name in given:
            if name not in known:
                suggestion = did_you_mean(name, (*cls.model_fields, *known))
                raise InputError(f"Unknown config key '{name}'{suggestion}")
        return {**own, **_options_of(cls._parts(own), given)}

    @classmethod
    def further_fields(cls) -> dict[str, FieldInfo]:
        """Returns the options of all parts that the config can choose, by name."""
        targets = dict.fromkeys(target for (kind, _), target in registry.OPTIONS.items() if kind in cls.model_fields)
        return {name: field for target in targets for name, field in registry.resolve(target).model_fields.items()}

    @classmethod
    def merged(cls, from_file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns options from a file and from the command line together; the command line wins.

        The file's options for a part that the command line replaces are dropped.
        """
        before, after = cls._parts(from_file), cls._parts({**from_file, **given})
        replaced = [_options(kind, before.get(kind)) for kind in registry.PARTS if before.get(kind) != after.get(kind)]
        kept = [_options(kind, name) for kind, name in after.items()]
        dropped = {name for options in replaced if options not in kept for name in _names(options)}
        return super().merged({name: value for name, value in from_file.items() if name not in dropped}, given)

    def options(self, options: type[PartOptionsT]) -> PartOptionsT:
        """Returns the options of a chosen part in their own class."""
        return options(**{name: getattr(self, name) for name in options.model_fields})

    def arguments(self, kind: str) -> dict[str, Any]:
        """Returns the arguments that the options give the constructor of the chosen part of a kind."""
        options = _options(kind, getattr(self, kind))
        return {} if options is None else self.options(options).arguments()

    @classmethod
    def _parts(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """Returns the name of each part by its kind: as given, otherwise the default, if it has one."""
        kinds = [kind for kind in registry.PARTS if kind in cls.model_fields]
        chosen = {kind: values.get(kind) or cls.model_fields[kind].get_default() for kind in kinds}
        return {kind: str(name) for kind, name in chosen.items() if isinstance(name, str)}


def _options(kind: str, name: str | None) -> type[PartOptions] | None:
    """Returns the options of a part, `None` if it has none."""
    target = registry.OPTIONS.get((kind, name or ""))
    return None if target is None else registry.resolve(target)


def _names(options: type[PartOptions] | None) -> Iterable[str]:
    return () if options is None else options.model_fields


def _options_of(parts: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of the parts that are chosen: those given, and the defaults of the others.

    Args:
        parts: The name of each part, by its kind.
        given: Values by name; `None` stands for a default.

    Raises:
        InputError: An option belongs to a part that is not chosen, or has a wrong value.
    """
    rest = {name: value for name, value in given.items() if value is not None}
    found: dict[str, Any] = {}
    for kind, name in parts.items():
        check_name(kind, name, registry.PARTS[kind])
        options = _options(kind, name)
        if options is not None:
            own = {option: rest.pop(option) for option in options.model_fields if option in rest}
            found |= options(**own).model_dump()
    for option, value in rest.items():
        owners = [key for key in registry.OPTIONS if option in _names(_options(*key))]
        kind, names = owners[0][0], " or ".join(name for _, name in owners)
        received = parts.get(kind, "none")
        raise InputError(f"{option} needs {kind}={names}. Received: {kind}={received}, {option}={value}")
    return found
