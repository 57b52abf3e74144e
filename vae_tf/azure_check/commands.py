"""Extracts the commands of a job, as the service would run them, and parses them as vae_tf would."""

import contextlib
import importlib
import itertools
import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import yaml

from vae_tf.azure_check.document import Document, KeyPath, as_mapping, lookup
from vae_tf.azure_check.shell import split_commands
from vae_tf.config import Config
from vae_tf.support import cli
from vae_tf.support.errors import InputError

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)  # left out if an input in it is not set
VARIABLE = re.compile(r"\$[\w{]")
PYTHON = re.compile(r"(.*/)?python[\d.]*")
MODULE_OPTION = re.compile(r"-[bBdEiIOPqRsSuvx]*m(.*)")
OPTIONS_WITH_VALUE = ("-W", "-X")
COMPONENT_TYPES = {"command", "parallel", "pipeline", "spark", None}  # of the files in which `inputs` lists all inputs


class Command(NamedTuple):
    """A command with its expressions replaced by values.

    Attributes:
        key_path: Key path of the command in the file.
        module: The module, such as `vae_tf.train`.
        arguments: The rest of the command line, after the module, as the shell reads it.
        folder: The folder in which the command would run.
    """

    key_path: KeyPath
    module: str
    arguments: Sequence[str]
    folder: Path

    def options(self) -> Config | None:
        """Returns the options that the module parses from its arguments, without running it.

        An argument that only the shell or the service knows, such as `$EPOCHS`, is taken literally. If the command
        rejects it, nothing is known about the options, and this returns `None`, as for `--help`.

        Raises:
            InputError: There is no such command, or it rejects the arguments.
        """
        main = _find_main(self.module)
        try:
            words = shlex.split(" ".join(self.arguments))
        except ValueError as error:
            raise InputError(f"The command must be valid shell syntax. Received: {error}") from None
        if not {"-h", "--help"}.isdisjoint(words):
            return None
        options: type[Config] = get_type_hints(main)["options"]
        with contextlib.chdir(self.folder):  # the path of a config file is relative to the code folder
            try:
                return cli.parse(options, f"python -m {self.module}", words)
            except InputError as error:
                if VARIABLE.search(str(error)):
                    return None
                raise


def _find_main(module: str) -> Callable[..., None]:
    for name in (module, f"{module}.__main__"):
        with contextlib.suppress(ImportError, AttributeError):
            main: Callable[..., None] = importlib.import_module(name).main
            return main
    raise InputError(f"The command must be a vae_tf command. Received: {module}")


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
            values = {**input_values(component.data, with_optional=False), **step_inputs(step)}
            command = substitute(str(component.data.get("command")), values)
            yield from _parse_commands(("jobs", name), command, get_code_folder(component, component.data))


def _parse_commands(key_path: KeyPath, text: str, folder: Path) -> Iterator[Command]:
    for words in split_commands(text):
        if words[:1] == ["cd"]:
            folder = folder.joinpath(*words[1:])
        if not folder.is_dir():  # it is missing, which another rule reports, or somewhere else
            return
        module, arguments = _find_module(words)
        if re.fullmatch(r"vae_tf\.\w+", module):
            yield Command(key_path, module, arguments, folder)


def _find_module(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Returns the module that a simple command runs, or "", and the arguments of the module."""
    remaining = iter(words)
    module = ""
    for word in remaining:
        if word == "vae-tf":
            module = "vae_tf"
            break
        if PYTHON.fullmatch(word):
            module = _read_module(remaining)
            break
    if module == "vae_tf":
        module = "vae_tf." + next(remaining, "").replace("-", "_")
    return module, list(remaining)


def _read_module(words: Iterator[str]) -> str:
    """Returns the module that Python runs, or "" if it runs something else."""
    for word in words:
        option = MODULE_OPTION.fullmatch(word)
        if option:
            return option[1] or next(words, "")
        if word in OPTIONS_WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            break
    return ""


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replaces the expressions in a string with their values.

    An expression without a value becomes a shell variable, because its value is just as unknown. An optional part,
    `$[[...]]`, is left out if it contains such an expression.
    """

    def keep_if_known(part: re.Match[str]) -> str:
        return part[1] if all(name in values for name in EXPRESSION.findall(part[1])) else ""

    def get_value(match: re.Match[str]) -> str:
        return values.get(match[1], _make_variable(match[1].rpartition(".")[2]))

    return EXPRESSION.sub(get_value, OPTIONAL.sub(keep_if_known, text))


def _make_variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name)


def get_code_folder(document: Document, job_or_step: Any) -> Path:
    """Returns the folder that a job uploads and in which it runs."""
    return document.folder / str(as_mapping(job_or_step).get("code", "."))


def load_component(document: Document, step: Any) -> Document | None:
    """Returns the component file of a pipeline step, or `None` if it is not a file, or one that can't be read."""
    path = as_mapping(step).get("component")
    try:
        component = Document(document.folder / str(path).removeprefix("file:"))
    except (OSError, ValueError, yaml.YAMLError):  # the file is missing, or is reported by itself
        return None
    is_flow = component.data.keys() & {"flow", "nodes"}  # a flow accepts more inputs than it lists
    return component if component.data.get("type") in COMPONENT_TYPES and not is_flow else None


def input_values(job: Any, with_optional: bool = True) -> dict[str, str]:
    """Returns a value for each input: its own value, its default, or a shell variable.

    Args:
        job: A job, a step or a component.
        with_optional: Include the optional inputs of a component that have no default.
    """
    values = {}
    for name, declared in as_mapping(as_mapping(job).get("inputs")).items():
        if not isinstance(declared, Mapping):
            values[f"inputs.{name}"] = str(declared)
        elif "default" in declared or with_optional or not declared.get("optional"):
            values[f"inputs.{name}"] = str(declared.get("default", _make_variable(name)))
    return values


def sample_search_space(job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yields points of a search space that cover each choice and each bound; yields `{}` once if there is none."""
    parameters = as_mapping(job.get("search_space")).items()
    extremes = {f"search_space.{name}": _get_extremes(as_mapping(parameter)) for name, parameter in parameters}
    for index in range(max(map(len, extremes.values()), default=1)):
        yield {
            name: str(values[min(index, len(values) - 1)]) if values else "$value" for name, values in extremes.items()
        }


def _get_extremes(parameter: Mapping[str, Any]) -> list[Any]:
    """Returns the choices, or the lowest and the highest value; the center of a normal distribution."""
    if isinstance(parameter.get("upper"), int):
        return [0, parameter["upper"] - 1]  # randint excludes its bound
    bounds = [parameter[key] for key in ("min_value", "max_value", "mu") if isinstance(parameter.get(key), int | float)]
    if "log" in str(parameter.get("type")):
        bounds = [math.exp(bound) for bound in bounds]
    if isinstance(parameter.get("q"), int | float):
        bounds = [round(bound / parameter["q"]) * parameter["q"] for bound in bounds]
    return list(itertools.chain(parameter.get("values", []), bounds))
