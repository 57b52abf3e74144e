"""The commands of a job as the service would call them, and what the package makes of them."""

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
# What stands in for an input of a declared type that has no value yet; for a folder it is the input's name.
STAND_INS = {"integer": "1", "number": "1", "boolean": "true"}


class Call(NamedTuple):
    """A command with values in the place of its expressions.

    Attributes:
        keys: Where in the file it stands.
        module: As `vae_tf.train`.
        arguments: The text after the module.
        folder: Where it would run.
    """

    keys: Keys
    module: str
    arguments: str
    folder: Path

    def options(self) -> Config:
        """Returns what the module makes of its arguments, without running it.

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
        with contextlib.chdir(self.folder):  # a config is named relative to the code
            return cli.parse(options, f"python -m {self.module}", words)


def calls(document: Document) -> Iterator[Call]:
    """Yields every call of the package that the jobs of a file make, for each value that a sweep may draw."""
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
    """Returns the text with values in the place of its expressions, the last of its names where there is none."""
    return EXPRESSION.sub(lambda found: values.get(found[1], found[1].rpartition(".")[2]), text)


def code_folder(document: Document, owner: Any) -> Path:
    """Returns the folder that a job uploads and runs in."""
    return document.folder / str(mapping(owner).get("code", "."))


def component_of(document: Document, step: Any) -> Document | None:
    """Returns the component file that a step of a pipeline names, `None` where it can't be read."""
    named = mapping(step).get("component")
    try:
        return Document(document.folder / str(named).removeprefix("file:"))
    except (OSError, yaml.YAMLError):  # no file at all, or one with findings of its own
        return None


def inputs(job: Any) -> dict[str, str]:
    """Returns a value for each input: its own or its default, else one of its type."""
    values = {}
    for name, declared in mapping(mapping(job).get("inputs")).items():
        if isinstance(declared, Mapping):
            declared = declared.get("default", STAND_INS.get(str(declared.get("type")), name))
        values[f"inputs.{name}"] = str(declared)
    return values


def draws(job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yields values of a search space such that each choice and each bound comes up; `{}` once where there is none."""
    ends = {f"search_space.{name}": _ends(mapping(space)) for name, space in mapping(job.get("search_space")).items()}
    for index in range(max(map(len, ends.values()), default=1)):
        yield {name: str(values[min(index, len(values) - 1)]) for name, values in ends.items()}


def _ends(space: Mapping[str, Any]) -> list[Any]:
    bounds = [space[key] for key in ("min_value", "max_value", "mu", "upper") if key in space]
    if str(space.get("type")).endswith("loguniform"):
        bounds = [math.exp(bound) for bound in bounds]
    return list(itertools.chain(space.get("values", []), bounds)) or [1]
