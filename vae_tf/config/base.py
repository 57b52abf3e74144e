"""The base class of all options: frozen, no unknown keys, one-line errors."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from vae_tf.support.cli import Options
from vae_tf.support.errors import UNPRINTABLE, InputError
from vae_tf.support.names import check_name, did_you_mean
from vae_tf.support.redaction import redacted

LARGEST_COUNT = 2**20
LARGEST_WIDTH = 2**16
LARGEST_SEED = 2**31 - 1
LONGEST_RECEIVED = 200


@dataclass(frozen=True, eq=False)  # hashed by identity, as typing needs it
class OneOf:
    """Marks an option whose value is one of some names; the help lists them.

    Attributes:
        kind: What the name chooses, for the error message.
        known: The names, read whenever the option is used: names can be registered later.
    """

    kind: str
    known: Collection[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._check, handler(source))

    def _check(self, name: object) -> str:
        return check_name(self.kind, str(name), self.known)


def _expanded(value: str) -> str:
    if UNPRINTABLE.search(value):
        raise InputError(f"A path must be one line without control characters. Received: {value!r}")
    try:
        path = Path(value).expanduser()
        path.resolve()
    except RuntimeError as error:  # the ~user does not exist, or a symlink points to itself
        raise InputError(f"A path must name a place that can be found. Received: {value} ({error})") from None
    return str(path)


Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
UserPath = Annotated[str, Field(min_length=1), AfterValidator(_expanded)]


ConfigT = TypeVar("ConfigT", bound="Config")


class Config(Options):
    """Base class of everything a user can set: frozen, rejects unknown keys, and reports errors in one line.

    Raises:
        InputError: A key is unknown or a value is not allowed; the message names it and says what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def __init__(self, /, **values: Any) -> None:  # positional-only, so that a key "self" is reported as unknown
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_one_line(error.errors()[0], type(self))) from None

    def part(self, config: type[ConfigT]) -> ConfigT:
        """Returns the options that belong to a base class, including those of parts, as an instance of that class."""
        further = config.further_fields().keys() & (self.model_extra or {}).keys()
        return config(**{name: getattr(self, name) for name in (*config.model_fields, *further)})

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        if isinstance(value, bool) and cls.model_fields[name].annotation is not bool:
            raise InputError(f"{name} must be a value, not true or false. Received: {name}={value}")
        return value


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
    """Returns a pydantic error as one line in the package's own wording."""
    name = str(error["loc"][0]) if error["loc"] else ""
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        return f"Unknown config key '{name}'{did_you_mean(name, model.model_fields)}"
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
    except ValueError:  # Python refuses to print an integer with this many digits
        return "a number of thousands of digits"
