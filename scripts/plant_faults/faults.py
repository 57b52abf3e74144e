"""The faults: drawn from the sites, stored in a file, and found again in a tree that has changed since."""

import ast
import json
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .sites import Site, scopes, sites

PACKAGE = "vae_tf"
ROOT_ROOM = "root"
PER_ROOM = 2

Key = tuple[str, str, str, int, str]


class LostError(Exception):
    """The line of a fault is not found, or found in several places."""


@dataclass(frozen=True)
class Fault:
    """A line that is replaced by another.

    Attributes:
        id: A short name.
        room: The folder of the package that the line is in.
        path: Path of the file, relative to the root of the tree.
        name: Name of the function around the line, such as `Class.method`.
        kind: comparison, operator, call, constant or branch.
        line: The line without its indentation.
        occurrence: Which one it is of the equal lines in the function, counted from 1.
        becomes: The line with the fault, without its indentation.
    """

    id: str
    room: str
    path: str
    name: str
    kind: str
    line: str
    occurrence: int
    becomes: str

    @property
    def key(self) -> Key:
        """What distinguishes the fault from others."""
        return self.path, self.name, self.line, self.occurrence, self.becomes


def modules(tree: Path) -> list[str]:
    """Returns the paths of the package's modules."""
    return sorted(path.relative_to(tree).as_posix() for path in (tree / PACKAGE).rglob("*.py"))


def room_of(path: str) -> str:
    """Returns the folder of the package that a module is in."""
    folders = Path(path).parts[1:-1]
    return folders[0] if folders else ROOT_ROOM


def draw(tree: Path, seed: int, count: int, excluded: Collection[Key] = ()) -> list[Fault]:
    """Draws random lines, and what each becomes: `PER_ROOM` in every room, the others anywhere.

    Excluded faults are left out, and others are drawn instead.

    Raises:
        ValueError: There are too few lines, or too many rooms.
    """
    candidates = [fault for fault in _shuffled(tree, random.Random(seed)) if fault.key not in excluded]
    by_room: dict[str, list[Fault]] = {room_of(path): [] for path in modules(tree)}
    for fault in candidates:
        by_room[fault.room].append(fault)
    drawn = [fault for of_room in by_room.values() for fault in of_room[:PER_ROOM]]
    drawn += [fault for fault in candidates if fault not in drawn][: count - len(drawn)]
    if len(drawn) != count:
        raise ValueError(f"{count} faults can't be drawn: there are {len(candidates)} lines in {len(by_room)} rooms")
    for fault in drawn:
        planted(_source(tree, fault.path), fault)
    drawn.sort(key=lambda fault: (fault.room != ROOT_ROOM, fault.path, number_in(_source(tree, fault.path), fault)))
    return [Fault(**{**asdict(fault), "id": f"f{number:02}"}) for number, fault in enumerate(drawn, start=1)]


def _shuffled(tree: Path, generator: random.Random) -> Iterator[Fault]:
    """Yields every line that has a site once, in random order."""
    found: dict[tuple[str, int], list[Site]] = {}
    sources = {path: _source(tree, path) for path in modules(tree)}
    for path, source in sources.items():
        for site in sites(source):
            found.setdefault((path, site.number), []).append(site)
    places = sorted(found)
    generator.shuffle(places)
    for path, number in places:
        site = generator.choice(found[path, number])
        line = sources[path].split("\n")[number - 1].strip()
        occurrence = _numbers(sources[path], site.name, line).index(number) + 1
        yield Fault("", room_of(path), path, site.name, site.kind, line, occurrence, site.becomes.strip())


def _numbers(source: str, name: str, line: str) -> list[int]:
    """Returns the numbers of the lines in a function that are equal to `line`."""
    lines = source.split("\n")
    return sorted(number for number in scopes(source).get(name, ()) if lines[number - 1].strip() == line)


def number_in(source: str, fault: Fault) -> int | None:
    """Returns the number of the line that a fault is on, or `None` if it is not in this source."""
    numbers = _numbers(source, fault.name, fault.line)
    return numbers[fault.occurrence - 1] if len(numbers) >= fault.occurrence else None


def locate(tree: Path, fault: Fault) -> str:
    """Returns the path of the file that a fault is in: its own path, or the only other file with its line.

    Raises:
        LostError: No file has the line, or several do.
    """
    paths = [path for path in modules(tree) if number_in(_source(tree, path), fault) is not None]
    if fault.path in paths:
        return fault.path
    if len(paths) == 1:
        return paths[0]
    raise LostError(f"lost: {fault.name} with the line {fault.line!r} is {f'in {paths}' if paths else 'in no file'}")


def planted(source: str, fault: Fault) -> str:
    """Returns a source with the fault in it.

    Raises:
        LostError: The source does not have the line.
        ValueError: The result is not valid Python, or means the same as before.
    """
    number = number_in(source, fault)
    if number is None:
        raise LostError(f"lost: {fault.line!r}")
    lines = source.split("\n")
    lines[number - 1] = lines[number - 1].replace(fault.line, fault.becomes)
    changed = "\n".join(lines)
    compile(changed, fault.path, "exec")
    if ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source)):
        raise ValueError(f"the fault changes nothing: {fault}")
    return changed


def read(path: Path) -> tuple[list[Fault], list[dict[str, Any]]]:
    """Returns the faults in a file, and the excluded ones, each with its reason."""
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


def write(path: Path, drawn: Mapping[str, Any], excluded: Sequence[Mapping[str, Any]], faults: Sequence[Fault]) -> None:
    """Writes the file: how the faults were drawn, and one line per fault.

    To exclude a fault, move its line to `excluded`, add a `reason`, and draw again.
    """
    left_out = [{name: value for name, value in entry.items() if name != "id"} for entry in excluded]
    head = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in drawn.items()]
    tail = [*_listed("excluded", left_out, ","), *_listed("faults", [asdict(fault) for fault in faults], "")]
    path.write_text("\n".join(["{", *head, *tail, "}", ""]), encoding="utf-8")


def _source(tree: Path, path: str) -> str:
    return (tree / path).read_text(encoding="utf-8")


def _listed(name: str, entries: Sequence[Mapping[str, Any]], end: str) -> list[str]:
    lines = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in entries)
    return [f"  {json.dumps(name)}: [", *([lines] if lines else []), f"  ]{end}"]
