"""Copies of a tree in which tests run, and which are restored after each fault."""

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
# At least as many processes as jobs share the cores.
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider")
NONE_CHOSEN = 5  # pytest's exit status
GLANCE = 1.0  # seconds between two checks on the process


class StoppedError(Exception):
    """The tests were told to stop."""


@dataclass(frozen=True)
class Choice:
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
class Ended:
    """How a run of the tests ended.

    Attributes:
        how: How the tests failed: failing, hanging or crashing; empty if all passed.
        test: The first test that failed, or that was running when they hung; empty if unknown.
        why: The line that names the error.
        began: All tests that were started.
    """

    how: str = ""
    test: str = ""
    why: str = ""
    began: list[str] = field(default_factory=list)


class Copy:
    """A copy of the files that git tracks or would add, in another folder, with its own index to restore it from.

    Args:
        tree: The tree to copy.
        folder: Where to copy it; must be new.
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
        folder.chmod(0o755)  # some tests act as an ordinary user, who needs access to the copy and to a /tmp
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

    def run(self, choice: Choice) -> Ended:
        """Runs tests until the first one fails.

        Raises:
            StoppedError: The tests were told to stop.
        """
        record, chosen = self._folder / "record", self._folder / "choice"
        record.write_text("")
        only = None if choice.only is None else sorted(choice.only)
        chosen.write_text(json.dumps({"only": only, "skip": sorted(choice.skip)}))
        # -P: the tests must not import the modules next to watch.py.
        command: list[str | Path] = [self._python, "-P", WATCH, record, chosen, *OPTIONS, *choice.files]
        with self._started(command) as process:
            hangs = not self._ends(process, record)
        lines = [json.loads(line) for line in record.read_text().splitlines()]
        began = [line["began"] for line in lines if "began" in line]
        last = began[-1] if began else ""
        for line in lines:
            if "failed" in line:
                return Ended("failing", line["failed"], line["why"], began)
        if hangs:
            return Ended("hanging", last, f"nothing ended within {self._limit / 60:g} minutes", began)
        if process.returncode not in (0, NONE_CHOSEN):
            return Ended("crashing", last, f"pytest ended with {process.returncode}: {self._told()}", began)
        return Ended(began=began)

    @contextmanager
    def _started(self, command: Sequence[str | Path]) -> Iterator["subprocess.Popen[bytes]"]:
        """Starts a process in its own process group, and kills the whole group afterwards."""
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(self.root), "TMPDIR": str(self._temporary)}
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

    def _ends(self, process: "subprocess.Popen[bytes]", record: Path) -> bool:
        """Waits for the process, and returns whether it ends before a test takes too long."""
        size, since = -1, time.monotonic()
        while time.monotonic() - since < self._limit:
            try:
                process.wait(GLANCE)
            except subprocess.TimeoutExpired:
                if self._is_stopped.is_set():
                    raise StoppedError from None
            else:
                return True
            if record.stat().st_size != size:
                size, since = record.stat().st_size, time.monotonic()
        return False

    def _told(self) -> str:
        """Returns the last line that the process wrote."""
        lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")

    def _check_import(self) -> None:
        """Checks that tests import the package from the copy; an installed one would not have the fault."""
        with self._started([self._python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"]) as process:
            process.wait()
        if self._told() != str(self.root / PACKAGE / "__init__.py"):
            raise RuntimeError(f"the tests must import {PACKAGE} from {self.root}. Received: {self._told()}")


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout
