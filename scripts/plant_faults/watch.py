"""Run pytest and record what it does: python watch.py RECORD SELECTION [arguments of pytest]

It appends a line of JSON to RECORD for every test that starts and every test that fails. SELECTION is a JSON file:
pytest runs the node IDs in `only`, or all if it is null, except those in `skip`. (pytest's own `--deselect` matches the
beginning of an ID.) This file imports nothing from its package, because the tree under test may be a different one.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """A pytest plugin that selects tests and records what they do."""

    def __init__(self, record: Path, selection: Path) -> None:
        self._record = record
        content = json.loads(selection.read_text(encoding="utf-8"))
        self._only = None if content["only"] is None else set(content["only"])
        self._skip = set(content["skip"])

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        config.hook.pytest_deselected(items=[item for item in items if not self._is_selected(item.nodeid)])
        items[:] = [item for item in items if self._is_selected(item.nodeid)]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write({"failed": report.nodeid, "why": _error_line(report.longreprtext)})

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write({"started": nodeid})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._write({"failed": report.nodeid, "why": _error_line(report.longreprtext)})

    def _is_selected(self, nodeid: str) -> bool:
        return nodeid not in self._skip and (self._only is None or nodeid in self._only)

    def _write(self, line: dict[str, Any]) -> None:
        with self._record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _error_line(report: str) -> str:
    """Returns the line of a report with the error message."""
    lines = report.splitlines() or [""]
    return next((line[1:].strip() for line in lines if line.startswith("E ")), lines[-1])


if __name__ == "__main__":
    record, selection, *arguments = sys.argv[1:]
    sys.exit(pytest.main(arguments, plugins=[Recorder(Path(record), Path(selection))]))
