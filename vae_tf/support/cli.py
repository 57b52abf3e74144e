"""Command-line code shared by all commands: options from typed configs, one-line errors, exit codes."""

import argparse
import functools
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

from vae_tf.support.errors import InputError, Interrupted, Terminated
from vae_tf.support.names import did_you_mean
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.support.redaction import redact

USAGE_ERROR = 2
INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141


class Options(BaseModel):
    """Base class of a command's options."""

    @classmethod
    def extra_fields(cls) -> dict[str, FieldInfo]:
        """Returns the options that are not fields of the class, keyed by name."""
        return {}

    @classmethod
    def merge(cls, from_file: Mapping[str, Any], from_command_line: Mapping[str, Any]) -> dict[str, Any]:
        """Merges options from a file and from the command line, which takes precedence."""
        return {**from_file, **from_command_line}


OptionsT = TypeVar("OptionsT", bound=Options)


def parse(options_class: type[OptionsT], command: str, arguments: Sequence[str]) -> OptionsT:
    """Parses a command's options: the command line overrides the `--config` file, which overrides the defaults.

    Args:
        options_class: A pydantic model; each field is an option, and its docstring is the help text.
        command: Name of the command in the help text, such as `"python -m vae_tf.train"`.
        arguments: The command-line arguments, without the command itself.

    Raises:
        InputError: An option or config key is unknown, or its value is not allowed.
        SystemExit: `--help` was requested; the help text has been printed.
    """
    from_command_line = _parse_command_line(options_class, command, arguments)
    from_file = read_yaml(Path(from_command_line["config"])) if "config" in from_command_line else {}
    if "config" in from_file:
        raise InputError(
            f"A config file can't refer to another. Received: {from_command_line['config']} with the key 'config'"
        )
    return options_class(**options_class.merge(from_file, from_command_line))


def _parse_command_line(options_class: type[Options], command: str, arguments: Sequence[str]) -> dict[str, Any]:
    settings_class: Any = _settings_class(options_class, command, tuple(options_class.extra_fields()))
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            settings_class,
            cli_parse_args=_join_lists(options_class, arguments),
            formatter_class=functools.partial(_HelpFormatter, settings_class.model_fields),
        )
        values = source()
    except SettingsError as error:
        raise InputError(_explain_error(str(error), options_class)) from None
    return dict(values)


@functools.lru_cache
def _settings_class(options_class: type[Options], command: str, extra_names: tuple[str, ...]) -> type[BaseSettings]:
    """Returns the class that parses a command line.

    Creating it takes a tenth of a second, and `azure_check` parses many command lines. `extra_names` is part of the
    cache's key, because parts of a model that are registered later add options.
    """

    class Settings(options_class, BaseSettings):  # type: ignore[misc, valid-type]  # the base is known only at run time
        model_config = SettingsConfigDict(
            cli_prog_name=command,
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_hide_none_type=True,
            cli_avoid_json=True,
            cli_exit_on_error=False,
            extra="forbid",
        )

    fields = _make_optional(options_class.extra_fields())
    settings_class: Any = create_model("Settings", __base__=Settings, __doc__=options_class.__doc__, **fields)
    for field in settings_class.model_fields.values():
        field.description = _add_choices(field)
    return settings_class


def _make_optional(fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Returns the fields with `None` as their default; the original default moves to the description."""
    return {
        name: (Annotated[field.annotation, *field.metadata] | None, Field(None, description=_add_default(field)))
        for name, field in fields.items()
    }


def _add_default(field: FieldInfo) -> str:
    default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    return f"{field.description} Default: {default}."


def _add_choices(field: FieldInfo) -> str:
    """Returns the help text of an option with the names that it accepts, unless the help shows them already."""
    shown = f"{_get_metavar(field)} {field.description}"
    names = [name for item in _get_metadata(field) for name in getattr(item, "known", ())]
    if all(name in shown for name in names):
        return str(field.description)
    return f"{field.description} One of: {', '.join(names)}."


def _get_metadata(field: FieldInfo) -> list[Any]:
    """Returns the metadata of an option's type, and of the members of a union."""
    return [*field.metadata, *(item for member in get_args(field.annotation) for item in get_args(member))]


def _get_metavar(field: FieldInfo) -> str | None:
    """Returns the word that stands for an option's value in the help, or `None` if its type has no such word."""
    metavar = next((item.metavar for item in _get_metadata(field) if hasattr(item, "metavar")), None)
    return f"{metavar},{metavar},..." if metavar and get_origin(field.annotation) is tuple else metavar


def _join_lists(options_class: type[Options], arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `--seeds 0 1 2` rewritten as `--seeds 0,1,2`, the form that the parser accepts."""
    lists = {
        _to_flag(name) for name, field in options_class.model_fields.items() if get_origin(field.annotation) is tuple
    }
    joined: list[str] = []
    for word in arguments:
        if len(joined) > 1 and joined[-2] in lists and not word.startswith("-"):
            joined[-1] += f",{word}"
        else:
            joined.append(word)
    return joined


def _to_flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class Metavar:
    """Marks an option with the word that stands for its value in the help, such as `PATH`."""

    metavar: str


class _HelpFormatter(argparse.HelpFormatter):
    """Shortens the usage to the required options, and shows `--run PATH` instead of `--run str`.

    Args:
        fields: The options, keyed by name.
        prog: Name of the command.
    """

    def __init__(self, fields: Mapping[str, FieldInfo], prog: str) -> None:
        super().__init__(prog)
        self._fields = fields

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """Adds the usage: the positional arguments and the required options, and `[options]` for the rest."""
        words = ["%(prog)s"]
        for action in actions:
            if not action.option_strings:
                words.append(f"[{action.metavar} ...]")
            elif action.dest in self._fields and self._fields[action.dest].is_required():
                words.append(f"{action.option_strings[0]} {self._format_args(action, '')}")
        super().add_usage(" ".join([*words, "[options]"]), actions, groups, prefix)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        # The help text itself explains an empty default.
        return action.help and re.sub(r"\s*\(default: (None|\(\))\)$", "", action.help)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        metavar = _get_metavar(self._fields[action.dest]) if action.dest in self._fields else None
        metavar = metavar or re.sub(
            r"tuple\[(\w+),\.\.\.\]", r"\1,\1,...", super()._format_args(action, default_metavar)
        )
        return re.sub(r"\b(int|float|str)\b", lambda match: match[0].upper(), metavar)


def _explain_error(message: str, options_class: type[Options]) -> str:
    message = message.removeprefix("error parsing CLI: ")
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if not unknown:
        return message
    word = unknown.group(1)
    if not word.startswith("-"):
        return f"Unexpected argument: {word}. Names of options begin with --"
    names = [name.replace("_", "-") for name in (*options_class.model_fields, *options_class.extra_fields())]
    hint = did_you_mean(word.partition("=")[0].lstrip("-"), names)
    return f"Unknown option '{word}'{hint.replace('mean ', 'mean --')}"


class _RedactingStream:
    """A stream that redacts secrets in everything written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(redact(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _redact_output() -> Iterator[None]:
    """Redacts secrets in everything that Python prints in this context, and escapes what can't be encoded."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the terminal may not be able to encode every character
    stdout, stderr = (cast(TextIO, _RedactingStream(stream)) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(stdout), redirect_stderr(stderr):
        yield


@contextmanager
def _raise_on_sigterm() -> Iterator[None]:
    def stop(*_: object) -> NoReturn:
        raise Terminated

    previous_handler = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


@_redact_output()
@_raise_on_sigterm()
def run(main: Callable[[OptionsT], None], options_class: type[OptionsT], command: str) -> None:
    """Parses `sys.argv`, calls `main(options)`, and exits with a status that says how it ended.

    The status is 0 on success, 2 (with one line on stderr) for an error that the user can fix, 130 after Ctrl-C, 143
    after SIGTERM, and 141 on a broken pipe.
    """
    # Pillow warns about malformed metadata in images that it can still open; vae_tf reports the others itself.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        main(parse(options_class, command, sys.argv[1:]))
    except InputError as error:
        sys.exit(_fail(str(error), USAGE_ERROR))
    except Interrupted as stop:
        sys.exit(_fail(str(stop), stop.status))
    except KeyboardInterrupt as stop:
        sys.exit(_fail("interrupted", TERMINATED if isinstance(stop, Terminated) else INTERRUPTED))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise Python's final flush would fail again
        sys.exit(BROKEN_PIPE)


def _fail(message: str, status: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status
