"""The commands of a job as the service would run them, and how the package parses them."""

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

from vae_tf.azure_check.document import Document, Keys, lookup, mapping
from vae_tf.config import Config
from vae_tf.support import cli
from vae_tf.support.errors import InputError

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
CALL = re.compile(r"\bpython3?\s+-m\s+(vae_tf\.\w+)(.*)")
# Placeholders for inputs that have no value yet, by their declared type; for a folder, it is the input's name.
STAND_INS = {"integer": "1", "number": "1", "boolean": "true"}


class Call(NamedTuple):
    """A command with its expressions replaced by values.

    Attributes:
        keys: Where the command is in the file.
        module: The module, such as `vae_tf.train`.
        arguments: The text after the module.
        folder: The folder the command would run in.
    """

    keys: Keys
    module: str
    arguments: str
    folder: Path

    def options(self) -> Config:
        """Returns the options that the module parses from its arguments, without running it.

        Raises:
            InputError: There is no such command, or it refuses the arguments.
        """
        try:
            main = importlib.import_module(self.module).main
        except (ImportError, AttributeError):
            raise InputError(f"A command must be one of the package. Received: {self.module}") from None
        try:
            words = shlex.split(self.arguments)
        except ValueError as error:
            raise InputError(f"A command must be one that a shell can read. Received: {error}") from None
        options: type[Config] = get_type_hints(main)["options"]
        with contextlib.chdir(self.folder):  # the path of a config is relative to the code
            return cli.parse(options, f"python -m {self.module}", words)


def calls(document: Document) -> Iterator[Call]:
    """Yields every call of the package in the jobs of a file, for each value that a sweep may draw."""
    job = document.data
    of_pipeline = {f"parent.{name}": value for name, value in inputs(job).items()}

    def given(step: Any) -> dict[str, str]:
        return {name: filled(value, of_pipeline) for name, value in inputs(step).items()}

    for keys, text in document.texts():
        if keys[-1] == "command":
            owner = lookup(job, keys[:-1])
            for drawn in draws(job):
                values = {**inputs(job), **given(owner), **drawn}
                yield from _calls(keys, filled(text, values), code_folder(document, owner))
    for name, step in mapping(job.get("jobs")).items():
        component = component_of(document, step)
        if component is not None:
            command = filled(str(component.data.get("command")), {**inputs(component.data), **given(step)})
            yield from _calls(("jobs", name), command, code_folder(component, component.data))


def _calls(keys: Keys, text: str, folder: Path) -> Iterator[Call]:
    for line in re.split(r"&&|;|\n", text.replace("\\\n", " ")):
        called = CALL.search(line)
        if called and folder.is_dir():
            yield Call(keys, called[1], called[2], folder)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Returns a text with its expressions replaced by values; one without a value becomes its last name."""
    return EXPRESSION.sub(lambda found: values.get(found[1], found[1].rpartition(".")[2]), text)


def code_folder(document: Document, owner: Any) -> Path:
    """Returns the folder that a job uploads and runs in."""
    return document.folder / str(mapping(owner).get("code", "."))


def component_of(document: Document, step: Any) -> Document | None:
    """Returns the component file that a step of a pipeline names, or `None` if it can't be read."""
    named = mapping(step).get("component")
    try:
        return Document(document.folder / str(named).removeprefix("file:"))
    except (OSError, yaml.YAMLError):  # there is no file, or it has findings of its own
        return None


def inputs(job: Any) -> dict[str, str]:
    """Returns a value for each input: its own value, its default, or a placeholder of its type."""
    values = {}
    for name, declared in mapping(mapping(job).get("inputs")).items():
        if isinstance(declared, Mapping):
            declared = declared.get("default", STAND_INS.get(str(declared.get("type")), name))
        values[f"inputs.{name}"] = str(declared)
    return values


def draws(job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yields values of a search space so that each choice and each bound occurs; `{}` once if there is none."""
    ends = {f"search_space.{name}": _ends(mapping(space)) for name, space in mapping(job.get("search_space")).items()}
    for index in range(max(map(len, ends.values()), default=1)):
        yield {name: str(values[min(index, len(values) - 1)]) for name, values in ends.items()}


def _ends(space: Mapping[str, Any]) -> list[Any]:
    bounds = [space[key] for key in ("min_value", "max_value", "mu", "upper") if key in space]
    if str(space.get("type")).endswith("loguniform"):
        bounds = [math.exp(bound) for bound in bounds]
    return list(itertools.chain(space.get("values", []), bounds)) or [1]
