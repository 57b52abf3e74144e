"""The options of each part of a model, and how a config holds those of the parts that are chosen.

The name of an option begins with the kind of its part, as `prior_components`; those of the notebooks keep their names.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from pydantic.fields import FieldInfo

from vae_tf import registry
from vae_tf.config.base import LARGEST_WIDTH, Config, one_of
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

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


def options_of(kind: str, name: str) -> type[PartOptions] | None:
    """Returns the options of a part, `None` if it has none."""
    target = registry.OPTIONS.get((kind, name))
    return None if target is None else registry.resolve(target)


def all_fields() -> dict[str, FieldInfo]:
    """Returns the options of every part that is registered, by name."""
    classes = [registry.resolve(target) for target in dict.fromkeys(registry.OPTIONS.values())]
    return {name: field for options in classes for name, field in options.model_fields.items()}


def chosen(parts: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of the parts that are chosen: those given, and the defaults of the others.

    Args:
        parts: The name of each part, by its kind.
        given: Values by name; `None` stands for a default.

    Raises:
        InputError: An option is unknown, belongs to a part that is not chosen, or has a wrong value.
    """
    rest = {name: value for name, value in given.items() if value is not None}
    options: dict[str, Any] = {}
    for kind, name in parts.items():
        check_name(kind, name, registry.PARTS[kind])
        of_part = options_of(kind, name)
        if of_part is not None:
            own = {key: rest.pop(key) for key in of_part.model_fields if key in rest}
            options |= of_part(**own).model_dump()
    for key, value in rest.items():
        kind, names = _owners(key)
        if names:
            owners = " or ".join(names)
            raise InputError(f"{key} needs {kind}={owners}. Received: {kind}={parts[kind]}, {key}={value}")
    return options


def is_option(name: str) -> bool:
    """Returns whether some part has an option of that name."""
    return bool(_owners(name)[1])


def _owners(option: str) -> tuple[str, list[str]]:
    """Returns the kind and the names of the parts that have an option."""
    owners = [key for key in registry.OPTIONS if option in options_of(*key).model_fields]  # type: ignore[union-attr]
    return (owners[0][0] if owners else ""), [name for _, name in owners]
