"""Command-line code shared by all commands: options from typed configs, one-line errors, exit codes."""

import functools
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from inspect import get_annotations
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TextIO, TypeVar, cast, get_origin

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict, SettingsError

from vae_tf.support.arguments import GENERAL, Parser
from vae_tf.support.errors import InputError, Interrupted, Terminated
from vae_tf.support.plain_yaml import read_yaml
from vae_tf.support.redaction import redact

USAGE_ERROR = 2
INTERRUPTED = 130
TERMINATED = 143
BROKEN_PIPE = 141


class Options(BaseModel):
    """Base class of a command's options."""

    heading: ClassVar[str] = GENERAL
    """The heading under which the help lists the options that a class declares."""

    @classmethod
    def headings(cls) -> dict[str, str]:
        """Returns the heading of each option, keyed by name."""
        classes = [base for base in reversed(cls.__mro__) if issubclass(base, Options)]
        return {name: base.heading for base in classes for name in get_annotations(base)}

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
    source = add_options(Parser(prog=command, description=options_class.__doc__), options_class)
    try:
        source(args=_join_lists(options_class, arguments))
        return dict(source())
    except SettingsError as error:
        raise InputError(str(error)) from None


def add_options(parser: Parser, options_class: type[Options]) -> CliSettingsSource[Any]:
    """Adds the options of a command to a parser, and returns the source that parses them."""
    fields = {**options_class.model_fields, **options_class.extra_fields()}
    headings = options_class.headings()

    def add_option(parser: Parser, *flags: str, **kwargs: Any) -> None:
        name = kwargs.get("dest", flags[0])
        if name in fields:
            parser.add_field(fields[name], headings[name], *flags, **kwargs)

    return CliSettingsSource(
        _settings_class(options_class, tuple(options_class.extra_fields())),
        root_parser=parser,
        add_argument_method=add_option,
    )


@functools.lru_cache
def _settings_class(options_class: type[Options], extra_names: tuple[str, ...]) -> type[BaseSettings]:
    """Returns the class that parses a command line.

    Creating it takes a tenth of a second, and `azure_check` parses many command lines. `extra_names` is part of the
    cache's key, because parts of a model that are registered later add options.
    """

    class Settings(options_class, BaseSettings):  # type: ignore[misc, valid-type]  # the base is known only at run time
        model_config = SettingsConfigDict(
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_hide_none_type=True,
            cli_avoid_json=True,
            extra="forbid",
        )

    # The default of an option of a part depends on the selected parts.
    fields: dict[str, Any] = {
        name: (Annotated[field.annotation, *field.metadata] | None, None)
        for name, field in options_class.extra_fields().items()
    }
    return create_model("Settings", __base__=Settings, **fields)


def _join_lists(options_class: type[Options], arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with `--seeds 0 1 2` rewritten as `--seeds 0,1,2`, the form that the parser accepts."""
    fields = {**options_class.model_fields, **options_class.extra_fields()}
    lists = {"--" + name.replace("_", "-") for name, field in fields.items() if get_origin(field.annotation) is tuple}
    joined: list[str] = []
    for word in arguments:
        if len(joined) > 1 and joined[-2] in lists and not word.startswith("-"):
            joined[-1] += f",{word}"
        else:
            joined.append(word)
    return joined


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
