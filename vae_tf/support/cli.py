"""Command-line code shared by all commands: options from typed configs, one-line errors, exit codes."""

import argparse
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

from vae_tf.support.errors import InputError, Interrupted, Terminated
from vae_tf.support.names import did_you_mean
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.support.redaction import redacted

USAGE_ERROR = 2
INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141


class Options(BaseModel):
    """Base class of a command's options."""

    @classmethod
    def further_fields(cls) -> dict[str, FieldInfo]:
        """Returns the options that are not fields of the class, by name."""
        return {}

    @classmethod
    def merged(cls, from_file: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Merges options from a file and from the command line; the command line wins."""
        return {**from_file, **given}


OptionsT = TypeVar("OptionsT", bound=Options)


def parse(options: type[OptionsT], command: str, arguments: Sequence[str]) -> OptionsT:
    """Parses a command's options: the command line overrides the `--config` file, which overrides the defaults.

    Args:
        options: A pydantic model; each field is an option, and the field's docstring is its help text.
        command: The command's name in the help text, such as `"python -m vae_tf.train"`.
        arguments: The command-line arguments, without the command itself.

    Raises:
        InputError: An option or config key is unknown, or its value is not allowed.
        SystemExit: `--help` was given; the help text has been printed.
    """
    given = _given_on_command_line(options, command, arguments)
    from_file = read_yaml(Path(given["config"])) if "config" in given else {}
    if "config" in from_file:
        raise InputError(f"A config file can't name another one. Received: {given['config']} with the key 'config'")
    return options(**options.merged(from_file, given))


def _given_on_command_line(options: type[Options], command: str, arguments: Sequence[str]) -> dict[str, Any]:
    class Settings(options, BaseSettings):  # type: ignore[misc, valid-type]  # the base is known only at run time
        model_config = SettingsConfigDict(
            cli_prog_name=command,
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_hide_none_type=True,
            cli_avoid_json=True,
            cli_exit_on_error=False,
            extra="forbid",
        )

    Settings.__doc__ = options.__doc__
    offered: Any = create_model("Settings", __base__=Settings, **_optional(options.further_fields()))
    for field in offered.model_fields.values():
        field.description = _with_names(field)
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            offered, cli_parse_args=_joined_lists(options, arguments), formatter_class=_HelpFormatter
        )
        given = source()
    except SettingsError as error:
        raise InputError(_explained(str(error), options)) from None
    return dict(given)


def _optional(fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Returns the fields as optional ones, whatever their defaults are."""
    return {
        name: (Annotated[field.annotation, *field.metadata] | None, Field(None, description=_with_default(field)))
        for name, field in fields.items()
    }


def _with_default(field: FieldInfo) -> str:
    default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
    return f"{field.description} Default: {default}."


def _with_names(field: FieldInfo) -> str | None:
    """Returns the help of an option with the names that it accepts, unless the help has them already."""
    marks = [*field.metadata, *(mark for part in get_args(field.annotation) for mark in get_args(part))]
    names = [name for mark in marks for name in getattr(mark, "known", ())]
    description = field.description or ""
    return (
        f"{description} One of: {', '.join(names)}." if not all(name in description for name in names) else description
    )


def _joined_lists(options: type[Options], arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `--seeds 0 1 2` rewritten as `--seeds 0,1,2`, the form that the parser accepts."""
    lists = {_option(name) for name, field in options.model_fields.items() if get_origin(field.annotation) is tuple}
    joined: list[str] = []
    for word in arguments:
        if len(joined) > 1 and joined[-2] in lists and not word.startswith("-"):
            joined[-1] += f",{word}"
        else:
            joined.append(word)
    return joined


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


class _HelpFormatter(argparse.HelpFormatter):
    """Omits empty defaults, which the help text itself explains, and Python's notation for types."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help and re.sub(r"\s*\(default: (None|\(\))\)$", "", action.help)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return re.sub(r"tuple\[(\w+),\.\.\.\]", r"\1,\1,...", super()._format_args(action, default_metavar))


def _explained(message: str, options: type[Options]) -> str:
    message = message.removeprefix("error parsing CLI: ")
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if not unknown:
        return message
    word = unknown.group(1)
    if not word.startswith("-"):
        return f"Options begin with --. Received: {word}"
    names = [name.replace("_", "-") for name in (*options.model_fields, *options.further_fields())]
    hint = did_you_mean(word.partition("=")[0].lstrip("-"), names)
    return f"Unknown option '{word}'{hint.replace('mean ', 'mean --')}"


class _Redacting:
    """A stream that redacts secrets from everything written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(redacted(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _fit_to_print() -> Iterator[None]:
    """Redacts known secrets from everything that Python prints in this context, and escapes what can't be encoded."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for characters that the terminal can't encode
    stdout, stderr = (cast(TextIO, _Redacting(stream)) for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(stdout), redirect_stderr(stderr):
        yield


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    def stop(*_: object) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@_fit_to_print()
@_sigterm_as_ctrl_c()
def run(main: Callable[[OptionsT], None], options: type[OptionsT], command: str) -> None:
    """Parses `sys.argv`, calls `main(options)`, and exits with the right status.

    The status is 0 on success, 2 (with one line on stderr) for an error that the user can fix, 130 after Ctrl-C, 143
    after SIGTERM, and 141 if the reader of a pipe has gone.
    """
    # Pillow warns about odd metadata in images that open anyway; images that don't open are reported elsewhere.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        main(parse(options, command, sys.argv[1:]))
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
