"""The rules: each checks a file and yields the problems that it finds."""

import collections
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vae_tf.azure_check.commands import EXPRESSION, find_commands, get_code_folder, load_component
from vae_tf.azure_check.document import Document, Finding, KeyPath, as_mapping, lookup
from vae_tf.config import DataConfig
from vae_tf.runs.tracking import EPOCH_METRICS
from vae_tf.support.errors import InputError

# Stands for names that are declared outside the folder: in a registry, or by a schedule.
ANY_NAME: Mapping[str, str] = collections.defaultdict(str)
# Names that Azure ML itself defines.
BUILTIN_NAMES = {
    "name": "job name",
    "output_name": "output name",
    "default_datastore": "workspace datastore",
    "creation_context": ANY_NAME,
}
DECLARATIONS = ("inputs", "outputs", "search_space")
# An expression without its dollar sign or its closing braces; other braces belong to a template of another tool.
MALFORMED = re.compile(r"\$\{\{\S*|\{\{\s*(inputs|outputs|search_space|parent|name)\b\S*")
PATH_KEYS = ("code", "component", "conda_file", "environment", "path")
# Keys whose `path` is not a local one: a URL path of a deployment, or a path inside the source of an import.
NO_LOCAL_PATH = re.compile(r".*_route|source")
REMOTE = re.compile(r"[a-z][a-z0-9+]+:", re.IGNORECASE)  # two characters at least: C:\ is a local drive
SECRETS = {
    "a shared access signature": re.compile(r"[?&;]sig=|\bsv=\d{4}-\d\d-\d\d&", re.IGNORECASE),
    "a key or password": re.compile(  # `<key>`, `$KEY` and `XXX` are placeholders
        r"AccountKey=|\b(account_key|sas_token|client_secret|admin_password)\b *[:=](?! *[\"']?([<$]|X{3}))",
        re.IGNORECASE,
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a UUID, such as a subscription id": re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE),
    "key-based authentication of an endpoint": re.compile(r"^\s*auth_mode:\s*[\"']?key\b"),
}
IDENTITY_FIX = "remove it: use identities and role assignments instead (auth_mode: aad_token, identity: managed)"


def check(folder: Path) -> list[Finding]:
    """Returns the problems in the files of a folder and its subfolders.

    Args:
        folder: Folder with the YAML files.

    Raises:
        InputError: The folder contains no YAML file.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    yaml_paths = [path for path in files if path.suffix in (".yml", ".yaml")]
    if not yaml_paths:
        raise InputError(f"folder must contain YAML files. Received: {folder}, which has none")
    return [
        *(f for path in yaml_paths for f in _check_document(path)),
        *(f for path in files for f in find_secrets(path)),
    ]


def _check_document(path: Path) -> Iterator[Finding]:
    try:
        document = Document(path)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = f"invalid YAML ({getattr(error, 'problem', error)})"
        yield Finding(path, mark.line + 1 if mark else 1, " ".join(problem.split()), "fix the syntax")
        return
    for rule in (check_expressions, check_steps, check_worker_counts, check_local_paths, check_commands, check_sweep):
        yield from rule(document)


def check_expressions(document: Document) -> Iterator[Finding]:
    """Yields each `${{...}}` that is undefined or malformed."""
    for key_path, text in document.strings():
        for expression in EXPRESSION.findall(text):
            names = tuple(expression.split("."))
            if lookup(_get_scope(document, key_path), names) is None:
                problem = f"${{{{{expression}}}}} is undefined"
                yield document.finding(key_path, problem, f"declare {names[-1]}, or fix the reference", expression)
        malformed = MALFORMED.search(EXPRESSION.sub("", text))
        if malformed:
            yield document.finding(key_path, "malformed expression", "write it as ${{...}}", malformed[0])


def _get_scope(document: Document, key_path: KeyPath) -> Mapping[str, Any]:
    """Returns what expressions may refer to: the declarations of the job, or of a step and its pipeline."""
    job, jobs = document.data, as_mapping(document.data.get("jobs"))
    if not jobs:
        return {**_get_declarations(job), **BUILTIN_NAMES}
    outputs = {name: _get_step_declarations(document, as_mapping(step)) for name, step in jobs.items()}
    step = as_mapping(lookup(job, key_path[:2])) if key_path[0] == "jobs" else {}
    return {**_get_declarations(step), **BUILTIN_NAMES, "parent": {**_get_declarations(job), "jobs": outputs}}


def _get_declarations(job: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    return {section: {name: name for name in as_mapping(job.get(section))} for section in DECLARATIONS}


def _get_step_declarations(document: Document, step: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """Returns the declarations of a step, or of its component; a component elsewhere may declare any name."""
    component = load_component(document, step)
    if component is not None:
        return _get_declarations(component.data)
    return dict.fromkeys(DECLARATIONS, ANY_NAME) if "component" in step else _get_declarations(step)


def check_steps(document: Document) -> Iterator[Finding]:
    """Yields inputs and outputs that a step sets but its component does not declare, and required inputs left unset."""
    for step_name, step in as_mapping(document.data.get("jobs")).items():
        component = load_component(document, step)
        if component is None:
            continue
        for section in ("inputs", "outputs"):
            declared, assigned = as_mapping(component.data.get(section)), as_mapping(as_mapping(step).get(section))
            for name in assigned.keys() - declared.keys():
                problem = f"the component declares no {name} in its {section}"
                fix = f"declare it in {component.path}, or fix the name"
                yield document.finding(("jobs", step_name, section, name), problem, fix)
        for name, declaration in as_mapping(component.data.get("inputs")).items():
            assigned = as_mapping(as_mapping(step).get("inputs"))
            if name not in assigned and not {"default", "optional"} & as_mapping(declaration).keys():
                problem = f"the required input {name} is missing"
                yield document.finding(("jobs", step_name), problem, "set its value")


def check_worker_counts(document: Document) -> Iterator[Finding]:
    """Yields each distributed job whose number of workers differs from its number of nodes."""
    for key_path, workers in document.values():
        if key_path[-1] != "worker_count":
            continue
        jobs_or_steps = (lookup(document.data, key_path[:-2]), document.data)  # a sweep declares the nodes of its trial
        nodes = next(
            filter(None, (lookup(job_or_step, ("resources", "instance_count")) for job_or_step in jobs_or_steps)), 1
        )
        if isinstance(workers, int) and isinstance(nodes, int) and workers != nodes:
            problem = f"worker_count is {workers}, but resources.instance_count is {nodes}"
            yield document.finding(key_path, problem, "make them equal: one worker runs on each node")


def check_local_paths(document: Document) -> Iterator[Finding]:
    """Yields each reference to a local file or folder that does not exist."""
    for key_path, text in document.strings():
        path = text.removeprefix("file:")
        folder = document.folder
        if key_path[-1] == "scoring_script":
            owner = as_mapping(lookup(document.data, key_path[:-1]))
            if REMOTE.match(str(owner.get("code"))):
                continue
            folder = get_code_folder(document, owner)
        elif key_path[-1] not in PATH_KEYS or NO_LOCAL_PATH.fullmatch(str(key_path[-2:][0])):
            continue
        if REMOTE.match(path) or EXPRESSION.search(path):
            continue
        if not (folder / path).exists():
            problem = f"{key_path[-1]} refers to {text}, which does not exist"
            yield document.finding(key_path, problem, "fix the path, or add the file or folder")


def check_commands(document: Document) -> Iterator[Finding]:
    """Yields each command that vae_tf would reject."""
    reported = set()
    for command in find_commands(document):
        try:
            command.options()
        except InputError as error:
            problem = f"{command.module} rejects the command: {error}"
            finding = document.finding(command.key_path, problem, "fix the command or its inputs")
            if finding not in reported:
                yield finding
            reported.add(finding)


def check_sweep(document: Document) -> Iterator[Finding]:
    """Yields a sweep's objective if no epoch logs it, and search-space parameters that the command does not use.

    It knows only what `vae_tf.train` logs and takes.
    """
    job, objective = document.data, ("objective", "primary_metric")
    is_training = any(command.module == "vae_tf.train" for command in find_commands(document))
    if not (as_mapping(job.get("search_space")) and is_training):
        return
    metric = lookup(job, objective)
    if metric not in EPOCH_METRICS:
        problem = f"{metric} is not logged per epoch"
        yield document.finding(objective, problem, f"choose one of {', '.join(EPOCH_METRICS)}")
    elif metric.startswith("val_") and not _has_validation_split(document):
        yield document.finding(objective, f"{metric} needs a validation split", "add --val-fraction 0.1 to the command")
    for name in as_mapping(job["search_space"]):
        if f"search_space.{name}" not in EXPRESSION.findall(str(lookup(job, ("trial", "command")))):
            fix = f"add ${{{{search_space.{name}}}}} to the command, or remove {name} from the search space"
            yield document.finding(("search_space", name), f"the command does not use {name}", fix)


def _has_validation_split(document: Document) -> bool:
    try:
        parsed = [command.options() for command in find_commands(document)]
    except InputError:  # reported by the rule for commands
        return True
    return all(options.val_fraction > 0 for options in parsed if isinstance(options, DataConfig))


def find_secrets(path: Path) -> Iterator[Finding]:
    """Yields each line that contains a secret, or an ID that ties the files to one subscription."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        for problem, pattern in SECRETS.items():
            if pattern.search(line):
                yield Finding(path, number, problem, IDENTITY_FIX)
