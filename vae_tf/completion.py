"""Complete commands and options in a shell: vae-tf completion bash"""

import argparse
from typing import Annotated

from pydantic_settings import CliPositionalArg

from vae_tf.__main__ import COMMANDS, load_command
from vae_tf.config import Config
from vae_tf.config.base import OneOf
from vae_tf.support import cli
from vae_tf.support.arguments import Parser, get_metavar, get_names
from vae_tf.support.errors import InputError

COMMAND = "python -m vae_tf.completion"
SHELLS = ("bash", "zsh", "fish")


class CompletionOptions(Config):
    """Print a script for your shell that completes the commands of vae-tf, their options and the options' values.

    The script is static: print it again after an update of vae_tf.
    """

    shell: CliPositionalArg[Annotated[str, OneOf("shell", SHELLS)]]
    """Shell to print the script for."""


def completion_script(shell: str) -> str:
    """Returns the script that completes the commands and their options in a shell.

    Raises:
        InputError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise InputError(
            "completion needs shtab, which is not installed; run pip install '.[completion]' in the folder that "
            "contains vae_tf's pyproject.toml"
        ) from None

    root = argparse.ArgumentParser("vae-tf")  # describes the commands; it parses none
    root.add_argument("--version", action="store_true", help="print the version")
    commands = root.add_subparsers(parser_class=Parser)
    for name, description in COMMANDS.items():
        parser = commands.add_parser(name, help=description, description=description)
        cli.add_options(parser, load_command(name).options_class)
        for field, action in parser.fields.values():
            action.choices = get_names(field) or None
            if get_metavar(field).startswith("PATH"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads it
    return shtab.complete(root, shell)


def main(options: CompletionOptions) -> None:
    """Runs the command."""
    print(completion_script(options.shell))


if __name__ == "__main__":
    cli.run(main, CompletionOptions, COMMAND)
