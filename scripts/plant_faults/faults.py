"""Faults: draws them from the sites, stores them in a file, and finds them again in a tree that has changed since."""

import ast
import json
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .sites import Site, find_scopes, find_sites

PACKAGE = "vae_tf"
TOP_LEVEL = "root"
FAULTS_PER_SUBPACKAGE = 2

Key = tuple[str, str, str, int, str]


class LostError(Exception):
    """The line of a fault was not found, or was found in several files."""


@dataclass(frozen=True)
class Fault:
    """A line and its replacement.

    Attributes:
        id: A short name.
        subpackage: The subpackage of the line, `root` for a module at the top level.
        path: Path of the file, relative to the root of the tree.
        name: Qualified name of the function that contains the line, such as `Class.method`.
        kind: comparison, operator, call, constant or branch.
        line: The line without its indentation.
        occurrence: Position among the equal lines of the function, counted from 1.
        replacement: The replacement, without its indentation.
    """

    id: str
    subpackage: str
    path: str
    name: str
    kind: str
    line: str
    occurrence: int
    replacement: str

    @property
    def key(self) -> Key:
        """The attributes that identify the fault."""
        return self.path, self.name, self.line, self.occurrence, self.replacement


def modules(tree: Path) -> list[str]:
    """Returns the paths of the package's modules."""
    return sorted(path.relative_to(tree).as_posix() for path in (tree / PACKAGE).rglob("*.py"))


def subpackage_of(path: str) -> str:
    """Returns the subpackage of a module."""
    folders = Path(path).parts[1:-1]
    return folders[0] if folders else TOP_LEVEL


def draw(tree: Path, seed: int, count: int, excluded: Collection[Key] = ()) -> list[Fault]:
    """Draws random lines and their replacements: `FAULTS_PER_SUBPACKAGE` in every subpackage, the rest anywhere.

    Other faults are drawn instead of the excluded ones.

    Raises:
        ValueError: There are too few lines, or too many subpackages.
    """
    candidates = [fault for fault in _shuffled(tree, random.Random(seed)) if fault.key not in excluded]
    by_subpackage: dict[str, list[Fault]] = {subpackage_of(path): [] for path in modules(tree)}
    for fault in candidates:
        by_subpackage[fault.subpackage].append(fault)
    drawn = [fault for group in by_subpackage.values() for fault in group[:FAULTS_PER_SUBPACKAGE]]
    drawn += [fault for fault in candidates if fault not in drawn][: count - len(drawn)]
    if len(drawn) != count:
        raise ValueError(f"can't draw {count} faults from {len(candidates)} lines in {len(by_subpackage)} subpackages")
    for fault in drawn:
        plant(_source(tree, fault.path), fault)
    drawn.sort(
        key=lambda fault: (fault.subpackage != TOP_LEVEL, fault.path, number_in(_source(tree, fault.path), fault))
    )
    return [Fault(**{**asdict(fault), "id": f"f{number:02}"}) for number, fault in enumerate(drawn, start=1)]


def _shuffled(tree: Path, generator: random.Random) -> Iterator[Fault]:
    """Yields one fault for every line that has a site, in random order."""
    found: dict[tuple[str, int], list[Site]] = {}
    sources = {path: _source(tree, path) for path in modules(tree)}
    for path, source in sources.items():
        for site in find_sites(source):
            found.setdefault((path, site.number), []).append(site)
    positions = sorted(found)
    generator.shuffle(positions)
    for path, number in positions:
        site = generator.choice(found[path, number])
        line = sources[path].split("\n")[number - 1].strip()
        occurrence = _numbers(sources[path], site.name, line).index(number) + 1
        yield Fault("", subpackage_of(path), path, site.name, site.kind, line, occurrence, site.replacement.strip())


def _numbers(source: str, name: str, line: str) -> list[int]:
    """Returns the numbers of the lines in a function that are equal to `line`."""
    lines = source.split("\n")
    return sorted(number for number in find_scopes(source).get(name, ()) if lines[number - 1].strip() == line)


def number_in(source: str, fault: Fault) -> int | None:
    """Returns the number of the line that a fault is on, or `None` if this source does not contain it."""
    numbers = _numbers(source, fault.name, fault.line)
    return numbers[fault.occurrence - 1] if len(numbers) >= fault.occurrence else None


def locate(tree: Path, fault: Fault) -> str:
    """Returns the path of the file that contains a fault: its recorded path, or the only other file with its line.

    Raises:
        LostError: No file contains the line, or several do.
    """
    paths = [path for path in modules(tree) if number_in(_source(tree, path), fault) is not None]
    if fault.path in paths:
        return fault.path
    if len(paths) == 1:
        return paths[0]
    raise LostError(f"lost: {fault.name} with the line {fault.line!r} is in {paths or 'no file'}")


def plant(source: str, fault: Fault) -> str:
    """Returns a source with the fault.

    Raises:
        LostError: The source does not contain the line.
        SyntaxError: The result is not valid Python.
        ValueError: The result is equivalent to the source.
    """
    number = number_in(source, fault)
    if number is None:
        raise LostError(f"lost: {fault.line!r}")
    lines = source.split("\n")
    lines[number - 1] = lines[number - 1].replace(fault.line, fault.replacement)
    changed = "\n".join(lines)
    compile(changed, fault.path, "exec")
    if ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source)):
        raise ValueError(f"the fault changes nothing: {fault}")
    return changed


def read_faults(path: Path) -> tuple[list[Fault], list[dict[str, Any]]]:
    """Returns the faults in a file, and the excluded faults, each with its reason."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [Fault(**fault) for fault in content["faults"]], content["excluded"]


def excluded_keys(excluded: Sequence[Mapping[str, Any]]) -> set[Key]:
    """Returns the keys of the excluded faults.

    Raises:
        ValueError: An excluded fault has no reason.
    """
    for entry in excluded:
        if not entry.get("reason"):
            raise ValueError(f"an excluded fault needs a reason: {entry}")
    return {Fault(**{**{n: v for n, v in entry.items() if n != "reason"}, "id": ""}).key for entry in excluded}


def write_faults(
    path: Path, settings: Mapping[str, Any], excluded: Sequence[Mapping[str, Any]], faults: Sequence[Fault]
) -> None:
    """Writes the file: the settings with which the faults were drawn, and one line per fault.

    To exclude a fault, move its line to `excluded`, add a `reason`, and draw again.
    """
    without_ids = [{name: value for name, value in entry.items() if name != "id"} for entry in excluded]
    head = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in settings.items()]
    entries = [asdict(fault) for fault in faults]
    tail = [*_format_list("excluded", without_ids, ","), *_format_list("faults", entries, "")]
    path.write_text("\n".join(["{", *head, *tail, "}", ""]), encoding="utf-8")


def _source(tree: Path, path: str) -> str:
    return (tree / path).read_text(encoding="utf-8")


def _format_list(name: str, entries: Sequence[Mapping[str, Any]], end: str) -> list[str]:
    lines = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    return [f"  {json.dumps(name)}: [", *([lines] if lines else []), f"  ]{end}"]
