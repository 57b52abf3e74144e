"""Extracts the commands of a job, as the service would run them, and parses them as vae_tf would."""

import contextlib
import importlib
import itertools
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import yaml

from vae_tf.azure_check.document import Document, KeyPath, as_mapping, lookup
from vae_tf.config import Config
from vae_tf.support import cli
from vae_tf.support.errors import InputError

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
CALL = re.compile(r"(?:\bpython3?\s+-m\s+vae_tf[.\s]|^\s*vae-tf\s)\s*(\w[\w-]*)(.*)")
# Placeholders for inputs that have no value yet, keyed by their type; for a folder, it is the name of the input.
PLACEHOLDERS = {"integer": "1", "number": "1", "boolean": "true"}


class Command(NamedTuple):
    """A command with its expressions replaced by values.

    Attributes:
        key_path: Key path of the command in the file.
        module: The module, such as `vae_tf.train`.
        arguments: The rest of the command line, after the module.
        folder: The folder in which the command would run.
    """

    key_path: KeyPath
    module: str
    arguments: str
    folder: Path

    def options(self) -> Config:
        """Returns the options that the module parses from its arguments, without running it.

        Raises:
            InputError: There is no such command, or it rejects the arguments.
        """
        try:
            main = importlib.import_module(self.module).main
        except (ImportError, AttributeError):
            raise InputError(f"The command must be a vae_tf command. Received: {self.module}") from None
        try:
            words = shlex.split(self.arguments)
        except ValueError as error:
            raise InputError(f"The command must be valid shell syntax. Received: {error}") from None
        options: type[Config] = get_type_hints(main)["options"]
        with contextlib.chdir(self.folder):  # the path of a config file is relative to the code folder
            return cli.parse(options, f"python -m {self.module}", words)


def find_commands(document: Document) -> Iterator[Command]:
    """Yields every vae_tf command in the jobs of a file, for representative values of a sweep's search space."""
    job = document.data
    pipeline_inputs = {f"parent.{name}": value for name, value in input_values(job).items()}

    def step_inputs(step: Any) -> dict[str, str]:
        return {name: substitute(value, pipeline_inputs) for name, value in input_values(step).items()}

    for key_path, text in document.strings():
        if key_path[-1] == "command":
            job_or_step = lookup(job, key_path[:-1])
            for point in sample_search_space(job):
                values = {**input_values(job), **step_inputs(job_or_step), **point}
                yield from _parse_commands(key_path, substitute(text, values), get_code_folder(document, job_or_step))
    for name, step in as_mapping(job.get("jobs")).items():
        component = load_component(document, step)
        if component is not None:
            command = substitute(
                str(component.data.get("command")), {**input_values(component.data), **step_inputs(step)}
            )
            yield from _parse_commands(("jobs", name), command, get_code_folder(component, component.data))


def _parse_commands(key_path: KeyPath, text: str, folder: Path) -> Iterator[Command]:
    for line in re.split(r"&&|;|\n", text.replace("\\\n", " ")):
        match = CALL.search(line)
        if match and folder.is_dir():
            yield Command(key_path, f"vae_tf.{match[1].replace('-', '_')}", match[2], folder)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replaces the expressions in a string with their values; one without a value becomes the last part of its name."""
    return EXPRESSION.sub(lambda match: values.get(match[1], match[1].rpartition(".")[2]), text)


def get_code_folder(document: Document, job_or_step: Any) -> Path:
    """Returns the folder that a job uploads and in which it runs."""
    return document.folder / str(as_mapping(job_or_step).get("code", "."))


def load_component(document: Document, step: Any) -> Document | None:
    """Returns the component file of a pipeline step, or `None` if it can't be read."""
    path = as_mapping(step).get("component")
    try:
        return Document(document.folder / str(path).removeprefix("file:"))
    except (OSError, yaml.YAMLError):  # the file is missing, or is reported by itself
        return None


def input_values(job: Any) -> dict[str, str]:
    """Returns a value for each input: its own value, its default, or a placeholder for its type."""
    values = {}
    for name, declared in as_mapping(as_mapping(job).get("inputs")).items():
        if isinstance(declared, Mapping):
            declared = declared.get("default", PLACEHOLDERS.get(str(declared.get("type")), name))
        values[f"inputs.{name}"] = str(declared)
    return values


def sample_search_space(job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yields points of a search space that cover each choice and each bound; yields `{}` once if there is none."""
    parameters = as_mapping(job.get("search_space")).items()
    extremes = {f"search_space.{name}": _get_extremes(as_mapping(parameter)) for name, parameter in parameters}
    for index in range(max(map(len, extremes.values()), default=1)):
        yield {name: str(values[min(index, len(values) - 1)]) for name, values in extremes.items()}


def _get_extremes(parameter: Mapping[str, Any]) -> list[Any]:
    bounds = [parameter[key] for key in ("min_value", "max_value", "mu", "upper") if key in parameter]
    if str(parameter.get("type")).endswith("loguniform"):
        bounds = [math.exp(bound) for bound in bounds]
    return list(itertools.chain(parameter.get("values", []), bounds)) or [1]
