"""A YAML file that knows the line numbers of its values, and the findings about it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

KeyPath = tuple[Any, ...]


class Finding(NamedTuple):
    """A problem: where it is, what it is, and how to fix it."""

    path: Path
    line: int
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}; {self.fix}"


class Document:
    """A YAML file whose values are looked up by key path.

    Args:
        path: The file.

    Raises:
        yaml.YAMLError: The file is not valid YAML, or a value contains itself.
        ValueError: A date in the file does not exist, or the file is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = path.read_text(encoding="utf-8").splitlines()
        text = "\n".join(self._lines)
        self.data = as_mapping(yaml.safe_load(text))
        self._line_ranges = dict(_find_line_ranges(yaml.compose(text, yaml.SafeLoader), (), first=0))

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return self.path.parent

    def values(self) -> Iterator[tuple[KeyPath, Any]]:
        """Yields the key path and value of every value below the top level, including mappings and lists."""
        yield from _walk(self.data, ())

    def strings(self) -> Iterator[tuple[KeyPath, str]]:
        """Yields the key path and value of every value that is a string."""
        yield from ((key_path, value) for key_path, value in self.values() if isinstance(value, str))

    def finding(self, key_path: KeyPath, problem: str, fix: str, at: str = "") -> Finding:
        """Returns a finding about a value; if the value has several lines, at the first line that contains `at`."""
        while key_path not in self._line_ranges:
            key_path = key_path[:-1]
        first, last = self._line_ranges[key_path]
        line = next((line for line in range(first, last + 1) if at in self._line(line)), first)
        return Finding(self.path, line + 1, problem, fix)

    def _line(self, number: int) -> str:
        return self._lines[number] if number < len(self._lines) else ""


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Returns the value if it is a mapping, otherwise an empty mapping."""
    return value if isinstance(value, Mapping) else {}


def lookup(data: Any, key_path: KeyPath) -> Any:
    """Returns the value at a key path, or `None` if there is none."""
    for key in key_path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _walk(data: Any, key_path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(data, Mapping):
        items: Iterable[tuple[Any, Any]] = data.items()
    else:
        items = enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*key_path, key), value
        yield from _walk(value, (*key_path, key))


def _find_line_ranges(
    node: yaml.Node | None, key_path: KeyPath, first: int, parents: tuple[yaml.Node, ...] = ()
) -> Iterator[tuple[KeyPath, tuple[int, int]]]:
    """Yields the key path of each value, with its first and last line, counted from 0."""
    if node in parents:
        raise yaml.YAMLError("a value contains itself")
    last = node.end_mark.line if node else first
    yield key_path, (first, max(first, last))  # what an alias refers to ends before the alias
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _find_line_ranges(value, (*key_path, key.value), key.start_mark.line, (*parents, node))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _find_line_ranges(value, (*key_path, index), value.start_mark.line, (*parents, node))
