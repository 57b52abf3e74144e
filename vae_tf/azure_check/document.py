"""A YAML file that knows the line numbers of its values, and the findings about it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vae_tf.support.plain_yaml import PlainLoader

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
        yaml.YAMLError: The file is not valid YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = path.read_text(encoding="utf-8").splitlines()
        text = "\n".join(self._lines)
        self.data = as_mapping(yaml.load(text, PlainLoader))
        self._line_ranges = dict(_find_line_ranges(yaml.compose(text, PlainLoader), (), first=0))

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return self.path.parent

    def values(self) -> Iterator[tuple[KeyPath, Any]]:
        """Yields the key path and value of every value below the top level, including mappings and lists."""
        yield from ((key_path, lookup(self.data, key_path)) for key_path in self._line_ranges if key_path)

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


def _find_line_ranges(
    node: yaml.Node | None, key_path: KeyPath, first: int
) -> Iterator[tuple[KeyPath, tuple[int, int]]]:
    """Yields the key path of each value, with its first and last line, counted from 0."""
    yield key_path, (first, node.end_mark.line if node else first)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _find_line_ranges(value, (*key_path, key.value), key.start_mark.line)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _find_line_ranges(value, (*key_path, index), value.start_mark.line)
