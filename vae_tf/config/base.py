"""The base class of all options: it is frozen, rejects unknown keys, and reports errors in one line."""

import os
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from vae_tf.support.arguments import Metavar
from vae_tf.support.cli import Options
from vae_tf.support.errors import UNPRINTABLE, InputError
from vae_tf.support.names import check_name, did_you_mean
from vae_tf.support.redaction import redact

MAX_COUNT = 2**20
MAX_WIDTH = 2**16
MAX_SEED = 2**31 - 1
MAX_RECEIVED_LENGTH = 200
MAX_METAVAR_LENGTH = 70
RESERVED_ON_WINDOWS = re.compile(r"""[<>:"|?*]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)""", re.IGNORECASE)


@dataclass(frozen=True, eq=False)  # hashed by identity, because typing requires hashable annotations
class OneOf:
    """Marks an option whose value must be one of several names; the help lists them.

    Attributes:
        kind: What the name selects, for the error message.
        known: The names; they are looked up at every use, because more names can be registered later.
        unlisted: Names that are accepted too, but that users do not choose.
    """

    kind: str
    known: Collection[str]
    unlisted: tuple[str, ...] = ()

    @property
    def metavar(self) -> str:
        """The names in braces, or `NAME` if they are too many for a line of the help."""
        names = f"{{{','.join(self.known)}}}"
        return names if len(names) <= MAX_METAVAR_LENGTH else "NAME"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._check, handler(source))

    def _check(self, name: object) -> str:
        return str(name) if name in self.unlisted else check_name(self.kind, str(name), self.known)


def _to_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _expand_path(value: str) -> str:
    if UNPRINTABLE.search(value):
        raise InputError(f"A path must not contain control characters or line breaks. Received: {value!r}")
    if sys.platform == "win32" and _is_reserved_on_windows(value):
        raise InputError(
            'On Windows, a name in a path must not contain < > : " | ? *, end in a dot or a space, or be a device such '
            f"as NUL. Received: {value}"
        )
    try:
        path = Path(value).expanduser()
        path.resolve()
    except RuntimeError as error:  # the ~user does not exist, or a symlink points to itself
        raise InputError(f"A path can't be resolved. Received: {value} ({error})") from None
    return str(path)


def _is_reserved_on_windows(value: str) -> bool:
    """Returns whether Windows would take a path for a device, a stream of a file, or a path with another name."""
    path = PureWindowsPath(value)
    names = path.parts[1:] if path.anchor else path.parts
    return any(RESERVED_ON_WINDOWS.search(name) for name in names if name != "..")


Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
UserPath = Annotated[str, Field(min_length=1), BeforeValidator(_to_text), AfterValidator(_expand_path), Metavar("PATH")]


ConfigT = TypeVar("ConfigT", bound="Config")


class Config(Options):
    """Base class of everything a user can set: frozen, rejects unknown keys, and reports errors in one line.

    Raises:
        InputError: A key is unknown or a value is not allowed; the message says which one, and what is allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def __init__(self, /, **values: Any) -> None:  # positional-only, so that a key named "self" is reported as unknown
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_format_error(error.errors()[0], type(self))) from None

    def subset(self, config_class: type[ConfigT]) -> ConfigT:
        """Returns the options that a base class has, including those of its parts, as an instance of that class."""
        extra = config_class.extra_fields().keys() & (self.model_extra or {}).keys()
        return config_class(**{name: getattr(self, name) for name in (*config_class.model_fields, *extra)})

    @field_validator("*", mode="before")
    @classmethod
    def _reject_unexpected_bool(cls, value: object, info: ValidationInfo) -> object:
        name = str(info.field_name)
        if isinstance(value, bool) and cls.model_fields[name].annotation is not bool:
            raise InputError(f"{name} must not be a boolean. Received: {name}={value}")
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
    "string_type": "a string",
    "string_too_short": "a non-empty string",
    "tuple_type": "a list, such as 512,256",
    "too_short": "a non-empty list",
    "literal_error": "one of {expected}",
}


def _format_error(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Returns the one-line message for a pydantic error."""
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
    return f"{name} must be {requirement}. Received: {name}={_format_value(error['input'])}"


def _format_value(value: object) -> str:
    try:
        return f"{redact(str(value)):.{MAX_RECEIVED_LENGTH}}"
    except ValueError:  # Python limits the conversion of integers to strings
        return "an integer with thousands of digits"
