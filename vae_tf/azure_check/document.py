"""A YAML file with the line numbers of its values, and the findings about it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from vae_tf.support.plain_yaml import PlainLoader

Keys = tuple[Any, ...]


class Finding(NamedTuple):
    """A fault: where it is, what it is, and how to fix it."""

    path: Path
    line: int
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}; {self.mend}"


class Document:
    """A YAML file in which each value is found by the keys that lead to it from the top.

    Args:
        path: The file.

    Raises:
        yaml.YAMLError: The file is not valid YAML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = path.read_text(encoding="utf-8").splitlines()
        text = "\n".join(self._lines)
        self.data = mapping(yaml.load(text, PlainLoader))
        self._marks = dict(_marks(yaml.compose(text, PlainLoader), (), first=0))

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return self.path.parent

    def values(self) -> Iterator[tuple[Keys, Any]]:
        """Yields every value below the top, including mappings and lists."""
        yield from ((keys, lookup(self.data, keys)) for keys in self._marks if keys)

    def texts(self) -> Iterator[tuple[Keys, str]]:
        """Yields every value that is a string."""
        yield from ((keys, value) for keys, value in self.values() if isinstance(value, str))

    def finding(self, keys: Keys, what: str, mend: str, at: str = "") -> Finding:
        """Returns a finding about a value; if it has several lines, at the line that contains `at`."""
        while keys not in self._marks:
            keys = keys[:-1]
        first, last = self._marks[keys]
        line = next((line for line in range(first, last + 1) if at in self._line(line)), first)
        return Finding(self.path, line + 1, what, mend)

    def _line(self, number: int) -> str:
        return self._lines[number] if number < len(self._lines) else ""


def mapping(value: Any) -> Mapping[str, Any]:
    """Returns the value if it is a mapping, otherwise an empty mapping."""
    return value if isinstance(value, Mapping) else {}


def lookup(data: Any, keys: Keys) -> Any:
    """Returns the value that a chain of keys leads to, or `None` if there is none."""
    for key in keys:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _marks(node: yaml.Node | None, keys: Keys, first: int) -> Iterator[tuple[Keys, tuple[int, int]]]:
    """Yields the keys of each value, with its first and last line, counted from 0."""
    yield keys, (first, node.end_mark.line if node else first)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _marks(value, (*keys, key.value), key.start_mark.line)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _marks(value, (*keys, index), value.start_mark.line)
