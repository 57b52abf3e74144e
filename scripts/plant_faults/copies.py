"""Copies of a tree in which the tests run; each copy is restored after each fault."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from .faults import PACKAGE

WATCH = Path(__file__).with_name("watch.py")
# Several processes share the cores, at least one for each job.
SINGLE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider")
NO_TESTS_COLLECTED = 5  # pytest's exit status
POLL_SECONDS = 1.0  # seconds between two checks on the process


class StoppedError(Exception):
    """The tests were stopped by `Copy.stop`."""


@dataclass(frozen=True)
class Selection:
    """Which tests to run.

    Attributes:
        files: Test files, in this order; empty for the whole suite.
        only: Node IDs to run; `None` for all.
        skip: Node IDs to leave out.
    """

    files: Sequence[str] = ()
    only: frozenset[str] | None = None
    skip: frozenset[str] = frozenset()


@dataclass
class RunResult:
    """The result of a run of the tests.

    Attributes:
        how: How the run failed: failing, hanging or crashing; empty if all tests passed.
        test: The first test that failed, or the test that was running when the run hung; empty if unknown.
        why: The line with the error message.
        started: All tests that were started.
    """

    how: str = ""
    test: str = ""
    why: str = ""
    started: list[str] = field(default_factory=list)


class Copy:
    """A copy of the files that git tracks or would add, in another folder, with its own index to restore it from.

    Args:
        tree: The tree to copy.
        folder: Folder of the copy; must be new.
        python: The Python that runs the tests.
        limit: Maximum seconds per test.

    Attributes:
        root: Root of the copy.
    """

    def __init__(self, tree: Path, folder: Path, python: Path, limit: float) -> None:
        self.root = folder / "tree"
        self._folder = folder
        self._temporary = folder / "tmp"
        self._python = python
        self._limit = limit
        self._is_stopped = Event()
        for name in _git(tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
            if name and (tree / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(tree / name, self.root / name)
        _git(self.root, "init", "--quiet")
        _git(self.root, "add", "--all", "--force")  # a tracked file may match .gitignore
        folder.chmod(0o755)  # some tests run as an unprivileged user, who needs access to the copy
        self.reset()
        self._check_import()

    def reset(self) -> None:
        """Restores the original state of the copy."""
        _git(self.root, "checkout-index", "--all", "--force")
        _git(self.root, "clean", "-ffdxq")
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(exist_ok=True)
        self._temporary.chmod(0o1777)

    def stop(self) -> None:
        """Stops the tests that run in another thread."""
        self._is_stopped.set()

    def run(self, selection: Selection) -> RunResult:
        """Runs tests until the first one fails.

        Raises:
            StoppedError: `stop` was called.
        """
        record, selected = self._folder / "record", self._folder / "selection"
        record.write_text("")
        only = None if selection.only is None else sorted(selection.only)
        selected.write_text(json.dumps({"only": only, "skip": sorted(selection.skip)}))
        # -P: the tests must not import the modules next to watch.py.
        command: list[str | Path] = [self._python, "-P", WATCH, record, selected, *OPTIONS, *selection.files]
        with self._started(command) as process:
            hangs = not self._ends_in_time(process, record)
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        started = [line["started"] for line in lines if "started" in line]
        last = started[-1] if started else ""
        for line in lines:
            if "failed" in line:
                return RunResult("failing", line["failed"], line["why"], started)
        if hangs:
            return RunResult("hanging", last, f"no test ended within {self._limit / 60:g} minutes", started)
        if process.returncode not in (0, NO_TESTS_COLLECTED):
            why = f"pytest exited with {process.returncode}: {self._last_output_line()}"
            return RunResult("crashing", last, why, started)
        return RunResult(started=started)

    @contextmanager
    def _started(self, command: Sequence[str | Path]) -> Iterator["subprocess.Popen[bytes]"]:
        """Starts a process in its own process group, and kills the whole group afterwards."""
        environment = {**os.environ, **SINGLE_THREAD, "PYTHONPATH": str(self.root), "TMPDIR": str(self._temporary)}
        with (self._folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _ends_in_time(self, process: "subprocess.Popen[bytes]", record: Path) -> bool:
        """Waits for the process to end, and returns whether it ends before a test takes too long."""
        size, last_change = -1, time.monotonic()
        while time.monotonic() - last_change < self._limit:
            try:
                process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if self._is_stopped.is_set():
                    raise StoppedError from None
            else:
                return True
            if record.stat().st_size != size:
                size, last_change = record.stat().st_size, time.monotonic()
        return False

    def _last_output_line(self) -> str:
        """Returns the last non-empty line of the process's output."""
        lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")

    def _check_import(self) -> None:
        """Checks that tests import the package from the copy; an installed package would not have the fault."""
        with self._started([self._python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"]) as process:
            process.wait()
        imported = self._last_output_line()
        if imported != str(self.root / PACKAGE / "__init__.py"):
            raise RuntimeError(f"The tests must import {PACKAGE} from {self.root}. Received: {imported}")


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout
