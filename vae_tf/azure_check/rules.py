"""The rules: each takes a file and yields its faults."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from vae_tf.azure_check.commands import EXPRESSION, calls, code_folder, component_of
from vae_tf.azure_check.document import Document, Finding, Keys, lookup, mapping
from vae_tf.config import DataConfig
from vae_tf.runs.tracking import EPOCH_METRICS
from vae_tf.support.errors import InputError

# Names that the service itself defines.
OF_THE_SERVICE = {"name": "of the job", "output_name": "of the output", "default_datastore": "of the workspace"}
DECLARATIONS = ("inputs", "outputs", "search_space")
PATHS = ("code", "component", "conda_file", "environment", "path")
REMOTE = re.compile(r"(azureml|https?|wasbs?|abfss?|git\+\w+):")
SECRETS = {
    "a shared access signature": re.compile(r"[?&;]sig=|\bsv=\d{4}-\d\d-\d\d&", re.IGNORECASE),
    "a key or password": re.compile(
        r"AccountKey=|\b(account_key|sas_token|client_secret|admin_password)\b *[:=]", re.IGNORECASE
    ),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "the id of a subscription, tenant or identity": re.compile(
        r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE
    ),
    "an endpoint that hands out keys": re.compile(r"^\s*auth_mode:(?!\s*aad_token\b)"),
}
IDENTITY = "take it out: identities with roles do its work (auth_mode: aad_token, identity: managed)"


def check(folder: Path) -> list[Finding]:
    """Returns the faults in the files of a folder and its subfolders.

    Args:
        folder: Folder with the YAML files.

    Raises:
        InputError: There is no YAML file.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    documents = [path for path in files if path.suffix in (".yml", ".yaml")]
    if not documents:
        raise InputError(f"folder must hold YAML files. Received: {folder} (none found)")
    return [*(f for path in documents for f in _of_document(path)), *(f for path in files for f in secrets(path))]


def _of_document(path: Path) -> Iterator[Finding]:
    try:
        document = Document(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        what = f"no valid YAML ({getattr(error, 'problem', error)})"
        yield Finding(path, mark.line + 1 if mark else 1, " ".join(what.split()), "mend the syntax")
        return
    for rule in (expressions, steps, worker_counts, local_paths, commands, sweep):
        yield from rule(document)


def expressions(document: Document) -> Iterator[Finding]:
    """Yields each `${{...}}` that refers to nothing."""
    for keys, text in document.texts():
        for expression in EXPRESSION.findall(text):
            names = tuple(expression.split("."))
            if lookup(_scope(document, keys), names) is None:
                whole = f"${{{{{expression}}}}}"
                yield document.finding(keys, f"{whole} names nothing", f"declare {names[-1]} or mend it", expression)
        broken = re.search(r"\$?\{\{\S*", EXPRESSION.sub("", text))
        if broken:
            yield document.finding(keys, "an expression that is not whole", "write it as ${{...}}", broken[0])


def _scope(document: Document, keys: Keys) -> Mapping[str, Any]:
    """Returns what expressions may refer to: what the job declares, or for a step, the step and its pipeline."""
    job, jobs = document.data, mapping(document.data.get("jobs"))
    if not jobs:
        return {**_declared(job), **OF_THE_SERVICE}
    outputs = {}
    for name, step in jobs.items():
        component = component_of(document, step)
        outputs[name] = _declared(mapping(step) if component is None else component.data)
    step = mapping(lookup(job, keys[:2])) if keys[0] == "jobs" else {}
    return {**_declared(step), **OF_THE_SERVICE, "parent": {**_declared(job), "jobs": outputs}}


def _declared(job: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {part: {name: name for name in mapping(job.get(part))} for part in DECLARATIONS}


def steps(document: Document) -> Iterator[Finding]:
    """Yields inputs and outputs of a step that its component lacks, and required inputs that the step lacks."""
    for step_name, step in mapping(document.data.get("jobs")).items():
        component = component_of(document, step)
        if component is None:
            continue
        for part in ("inputs", "outputs"):
            declared, given = mapping(component.data.get(part)), mapping(mapping(step).get(part))
            for name in given.keys() - declared.keys():
                mend = f"declare it in {component.path} or mend the name"
                yield document.finding(("jobs", step_name, part, name), f"{part} of the component lack {name}", mend)
        for name, declaration in mapping(component.data.get("inputs")).items():
            given = mapping(mapping(step).get("inputs"))
            if name not in given and not {"default", "optional"} & mapping(declaration).keys():
                what = f"the component waits for the input {name}"
                yield document.finding(("jobs", step_name), what, "give it a value")


def worker_counts(document: Document) -> Iterator[Finding]:
    """Yields each distributed job whose number of workers differs from its number of nodes."""
    for keys, workers in document.values():
        if keys[-1] != "worker_count":
            continue
        owners = (lookup(document.data, keys[:-2]), document.data)  # a sweep declares the nodes of its trial
        nodes = next(filter(None, (lookup(owner, ("resources", "instance_count")) for owner in owners)), 1)
        if workers != nodes:
            what = f"worker_count is {workers} and resources.instance_count {nodes}"
            yield document.finding(keys, what, "make them equal: a worker runs on each node")


def local_paths(document: Document) -> Iterator[Finding]:
    """Yields each file and folder that does not exist."""
    for keys, text in document.texts():
        path = text.removeprefix("file:")
        folder = document.folder
        if keys[-1] == "scoring_script":
            folder = code_folder(document, lookup(document.data, keys[:-1]))
        elif keys[-1] not in PATHS or REMOTE.match(path) or EXPRESSION.search(path):
            continue
        if not (folder / path).exists():
            yield document.finding(keys, f"{keys[-1]} names {text}, which is not there", "mend the path or add it")


def commands(document: Document) -> Iterator[Finding]:
    """Yields each command that the package would refuse."""
    reported = set()
    for call in calls(document):
        try:
            call.options()
        except InputError as error:
            finding = document.finding(call.keys, f"{call.module} refuses: {error}", "mend the command or its inputs")
            if finding not in reported:
                yield finding
            reported.add(finding)


def sweep(document: Document) -> Iterator[Finding]:
    """Yields a sweep's objective that no epoch logs, and its parameters that the command does not take."""
    job, objective = document.data, ("objective", "primary_metric")
    if "search_space" not in job:
        return
    metric = lookup(job, objective)
    if metric not in EPOCH_METRICS:
        yield document.finding(objective, f"no epoch logs {metric}", f"choose one of {', '.join(EPOCH_METRICS)}")
    elif metric.startswith("val_") and not _holds_pictures_out(document):
        yield document.finding(objective, f"{metric} needs held-out pictures", "add --val-fraction 0.1 to the command")
    for name in mapping(job["search_space"]):
        if f"search_space.{name}" not in EXPRESSION.findall(str(lookup(job, ("trial", "command")))):
            mend = f"add ${{{{search_space.{name}}}}} to it or drop the name"
            yield document.finding(("search_space", name), f"the command takes no {name}", mend)


def _holds_pictures_out(document: Document) -> bool:
    try:
        given = [call.options() for call in calls(document)]
    except InputError:  # reported as a fault of the command
        return True
    return all(options.val_fraction > 0 for options in given if isinstance(options, DataConfig))


def secrets(path: Path) -> Iterator[Finding]:
    """Yields each line with a secret, or with an ID that ties the files to one subscription."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        for what, pattern in SECRETS.items():
            if pattern.search(line):
                yield Finding(path, number, what, IDENTITY)
