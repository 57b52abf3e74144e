"""The argument parser of a command: options under headings, their help texts, and the words that stand for values."""

import argparse
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic.fields import FieldInfo

from vae_tf.support.errors import InputError
from vae_tf.support.names import did_you_mean

GENERAL = "options"


@dataclass(frozen=True)
class Metavar:
    """Marks an option with the word that stands for its value in the help, such as `PATH`."""

    metavar: str


@dataclass(frozen=True)
class Heading:
    """Marks an option that the help lists under this heading, instead of that of the class that declares it."""

    heading: str


class Parser(argparse.ArgumentParser):
    """A parser that lists options under headings, and raises an `InputError` for arguments that it can't parse.

    Attributes:
        fields: Each option's field and argparse action, keyed by name.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **kwargs)
        self.fields: dict[str, tuple[FieldInfo, argparse.Action]] = {}
        self._groups: dict[str, Any] = {GENERAL: self}

    def add_field(self, field: FieldInfo, heading: str, *flags: str, **kwargs: Any) -> None:
        """Adds an option, or a positional argument, for a field.

        Args:
            field: The field; its description begins the help text.
            heading: The heading that lists the option, unless the field is marked with another one.
            flags: Arguments of `add_argument`, such as `"--epochs"`.
            kwargs: Keyword arguments of `add_argument`.
        """
        if kwargs["help"] != argparse.SUPPRESS:
            kwargs["help"] = _describe(field).replace("%", "%%")
        if flags[0].startswith("-") and "metavar" in kwargs:  # a flag has none
            kwargs["metavar"] = get_metavar(field)
        heading = next((item.heading for item in _get_markers(field) if isinstance(item, Heading)), heading)
        if heading not in self._groups:
            self._groups[heading] = self.add_argument_group(heading)
        action = self._groups[heading].add_argument(*flags, **kwargs)
        self.fields[action.dest] = field, action

    def format_help(self) -> str:
        """Returns the help; its usage shows the positional arguments and the required options only."""
        words = [_format_usage(action) for field, action in self.fields.values() if _is_in_usage(field, action)]
        self.usage = " ".join(["%(prog)s", *words, "[options]"])
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raises an `InputError` that suggests the closest option for an unknown one."""
        unknown = re.search(r"unrecognized arguments: (\S+)", message)
        if not unknown:
            raise InputError(message)
        word = unknown.group(1)
        if not word.startswith("-"):
            raise InputError(f"Unexpected argument: {word}. Names of options begin with --")
        names = [name.replace("_", "-") for name in self.fields]
        hint = did_you_mean(word.partition("=")[0].lstrip("-"), names)
        raise InputError(f"Unknown option '{word}'{hint.replace('mean ', 'mean --')}")


def _is_in_usage(field: FieldInfo, action: argparse.Action) -> bool:
    return field.is_required() or not action.option_strings


def _format_usage(action: argparse.Action) -> str:
    if action.option_strings:
        return f"{action.option_strings[0]} {action.metavar}"
    return f"[{action.metavar} ...]" if action.nargs == argparse.ZERO_OR_MORE else str(action.metavar)


class _HelpFormatter(argparse.HelpFormatter):
    """Shows `--[no-]jit` instead of `--jit, --no-jit`, and does not break lines within the name of an option."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return action.option_strings[0].replace("--", "--[no-]")
        return super()._format_action_invocation(action)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))


def get_names(field: FieldInfo) -> list[str]:
    """Returns the names that an option accepts, or an empty list if it accepts other values as well."""
    for item in _get_markers(field):
        if hasattr(item, "known") or get_origin(item) is Literal:
            return list(map(str, getattr(item, "known", get_args(item))))
    return []


def _describe(field: FieldInfo) -> str:
    """Returns the help text of an option: its description, the names it accepts, and its default."""
    sentences = [str(field.description)]
    names = get_names(field)
    if not all(name in f"{get_metavar(field)} {field.description}" for name in names):
        sentences.append(f"One of: {', '.join(names)}.")
    if field.is_required():
        sentences.append("Required.")
    elif field.default not in (None, ()):  # the description explains an empty default
        sentences.append(f"Default: {_format_default(field.default)}.")
    return " ".join(sentences)


def _format_default(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def get_metavar(field: FieldInfo) -> str:
    """Returns the word that stands for an option's value in the help."""
    markers = _get_markers(field)
    metavar = next((item.metavar for item in markers if hasattr(item, "metavar")), None)
    if metavar is None:
        names = get_names(field)
        types = [item.__name__.upper() for item in markers if isinstance(item, type)]
        metavar = f"{{{','.join(names)}}}" if names else types[0]
    if get_origin(field.annotation) is tuple:
        metavar = "NAME" if metavar.startswith("{") else metavar
        return f"{metavar},{metavar},..."
    return metavar


def _get_markers(field: FieldInfo) -> list[Any]:
    """Returns the metadata of an option's type and of the types that it consists of, and these types themselves."""

    def walk(annotation: Any) -> Iterator[Any]:
        yield annotation
        for member in get_args(annotation):
            yield from walk(member)

    return [*field.metadata, *walk(field.annotation)]
