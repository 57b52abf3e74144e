"""Entry point for all commands: vae-tf COMMAND, or python -m vae_tf COMMAND"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

from vae_tf import __version__
from vae_tf.support.names import did_you_mean

if TYPE_CHECKING:
    from vae_tf.support.cli import Options

COMMANDS = {
    "train": "train a model and save it to a run folder",
    "evaluate": "compute the metrics of a run and write a report",
    "compare": "compare runs, or train variants and compare them",
    "sample": "draw samples, reconstructions, interpolations or traversals",
    "encode": "save the latents of a dataset to an npz file",
    "score": "compute an anomaly score for every image",
    "fit-sampler": "fit a sampler to the latents of a finished run",
    "azure-check": "check Azure ML files before you submit them",
    "completion": "print a script that completes commands and options in a shell",
}
MODULES = {"azure-check": "vae_tf.azure_check.__main__"}  # of the commands that are packages
USAGE = "\n".join(
    [
        "usage: vae-tf COMMAND [options]",
        "       vae-tf --version",
        "",
        *(f"  {name:12} {description}" for name, description in COMMANDS.items()),
        "",
        "vae-tf COMMAND --help lists the options of a command.",
        "",
        "Exit status: 0 success, 2 an error that you can fix, 130 Ctrl-C, 143 SIGTERM,",
        "141 broken pipe; 1 if azure-check found problems.",
    ]
)


class Command(NamedTuple):
    """A command: the function that runs it, and the class of its options."""

    main: Callable[[Any], None]
    options_class: "type[Options]"


def load_command(name: str) -> Command:
    """Imports and returns the command of a name, such as `"fit-sampler"`."""
    main = import_module(MODULES.get(name, f"vae_tf.{name.replace('-', '_')}")).main
    return Command(main, get_type_hints(main)["options"])


def main() -> None:
    """Runs the command given as the first argument, or prints the usage or the version."""
    name = sys.argv[1].replace("_", "-") if len(sys.argv) > 1 else "-h"
    if name in ("--help", "-h"):
        print(USAGE)
        return
    if name == "--version":
        print(f"vae-tf {__version__}")
        return

    from vae_tf.support import cli  # takes longer to import than everything above takes to run

    if name not in COMMANDS:
        message = f"COMMAND must be one of {', '.join(COMMANDS)}. Received: {sys.argv[1]}{did_you_mean(name, COMMANDS)}"
        print(f"error: {message}", file=sys.stderr)
        sys.exit(cli.USAGE_ERROR)
    del sys.argv[1]
    cli.run(*load_command(name), f"vae-tf {name}")


if __name__ == "__main__":
    main()
