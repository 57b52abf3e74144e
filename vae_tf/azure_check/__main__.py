"""Check the Azure ML files before submitting them: python -m vae_tf.azure_check azure/"""

import sys
from pathlib import Path

from pydantic_settings import CliPositionalArg

from vae_tf.azure_check.rules import check
from vae_tf.config import Config, UserPath
from vae_tf.support import cli

COMMAND = "python -m vae_tf.azure_check"
PROBLEMS_FOUND = 1


class CheckOptions(Config):
    """Check that the Azure ML files in a folder fit together and match vae_tf; exit with status 1 if they do not."""

    folder: CliPositionalArg[UserPath]
    """Folder with the YAML files, such as azure/."""


def main(options: CheckOptions) -> None:
    """Runs the command."""
    findings = check(Path(options.folder))
    for finding in findings:
        print(finding)
    if findings:
        sys.exit(PROBLEMS_FOUND)


if __name__ == "__main__":
    cli.run(main, CheckOptions, COMMAND)
