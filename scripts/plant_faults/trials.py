"""Tries faults: the tests that should catch a fault run first, then all others."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Queue
from threading import Lock

from .copies import Choice, Copy, Ended
from .faults import PACKAGE, ROOT_ROOM, Fault, LostError, locate, number_in, planted, room_of
from .sites import statement_lines

CAUGHT, SURVIVED, LOST = "caught", "survived", "lost"
# The groups of tests, in the order in which they run.
STAGES = {"room": "tests of its room", "line": "other tests that run its line", "all": "the rest of the tests"}


@dataclass(frozen=True)
class Result:
    """The outcome of trying a fault.

    Attributes:
        id: ID of the fault.
        path: Path of the file that it was planted in.
        outcome: caught, survived or lost.
        stage: The key in `STAGES` of the tests that caught it.
        how: failing, hanging or crashing.
        test: The first test that caught it.
        why: The line that names the error.
        not_counted: Tests that failed, but fail without the fault as well.
        seconds: How long everything took.
    """

    id: str
    path: str
    outcome: str
    stage: str = ""
    how: str = ""
    test: str = ""
    why: str = ""
    not_counted: Sequence[str] = ()
    seconds: float = 0.0


class Trust:
    """Knows which tests pass without a fault, from running them alone. All jobs share it."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}
        self._lock = Lock()

    @property
    def failing(self) -> frozenset[str]:
        """Tests that are known to fail without a fault."""
        with self._lock:
            return frozenset(test for test, passes in self._known.items() if not passes)

    def passes(self, copy: Copy, test: str, files: Sequence[str]) -> bool:
        """Returns whether a test passes without a fault; if `test` is empty, whether the files can be collected."""
        with self._lock:
            known = self._known.get(test)
        if known is None or not test:
            known = not copy.run(Choice([test.partition("::")[0]] if test else files, only=frozenset([test]))).how
            with self._lock:
                self._known[test] = known
        return known


def own_tests(tree: Path, path: str) -> list[str]:
    """Returns the test file of a module and then those of its room; a module at the root has no room."""
    within = Path(path).relative_to(PACKAGE)
    mirror = Path("tests") / within.parent / f"test_{within.stem.strip('_')}.py"
    room = room_of(path)
    found = [mirror]
    if room != ROOT_ROOM:
        of_room = sorted((tree / "tests" / room).rglob("test_*.py"))
        found += [*(file.relative_to(tree) for file in of_room), Path("tests") / f"test_{room}.py"]
    return [file.as_posix() for file in dict.fromkeys(found) if (tree / file).is_file()]


def covering(data: Path, path: str, lines: range) -> list[str]:
    """Returns the node IDs of the tests that run any of the given lines.

    Args:
        data: Data file that coverage.py recorded for the same tree, with tests as contexts and without branches.
        path: Path of the module.
        lines: Lines of the module.
    """
    query = """
        SELECT context.context, line_bits.numbits FROM line_bits
        JOIN context ON context.id = line_bits.context_id JOIN file ON file.id = line_bits.file_id
        WHERE substr('/' || file.path, -length(?1)) = ?1 ORDER BY context.id
    """
    with closing(sqlite3.connect(f"file:{data}?mode=ro", uri=True)) as database:
        rows = database.execute(query, (f"/{path}",)).fetchall()
    contexts = [context for context, bits in rows if any(_has(bits, line) for line in lines)]
    return list(dict.fromkeys(context.rpartition("|")[0] for context in contexts if "::" in context))


def _has(bits: bytes, number: int) -> bool:
    """Returns whether a number is in a set in coverage.py's format, which has one bit per number."""
    return number // 8 < len(bits) and bool(bits[number // 8] >> number % 8 & 1)


def attempt(copy: Copy, fault: Fault, contexts: Path | None, trust: Trust) -> Result:
    """Plants a fault in a copy, runs tests until one catches it, and restores the copy."""
    started = time.monotonic()
    try:
        path = locate(copy.root, fault)
    except LostError as error:
        return Result(fault.id, "", LOST, why=str(error))
    not_counted: list[str] = []
    stage, ended = _first_catch(copy, path, fault, contexts, trust, not_counted)
    seconds = round(time.monotonic() - started, 1)
    if not ended.how:
        return Result(fault.id, path, SURVIVED, not_counted=not_counted, seconds=seconds)
    return Result(fault.id, path, CAUGHT, stage, ended.how, ended.test, ended.why, not_counted, seconds)


def _first_catch(
    copy: Copy, path: str, fault: Fault, contexts: Path | None, trust: Trust, not_counted: list[str]
) -> tuple[str, Ended]:
    """Returns the stage at which a test caught the fault, and how the tests ended."""
    done: set[str] = set()
    for stage, choice in _stages(copy.root, path, fault, contexts):
        while True:
            left = replace(choice, skip=trust.failing | done)
            if left.only is not None and left.only <= left.skip:
                break
            ended = _ended_with(copy, path, fault, left)
            if not ended.how:
                done.update(ended.began)
                break
            if trust.passes(copy, ended.test, choice.files):
                return stage, ended
            if "::" not in ended.test:
                raise RuntimeError(f"{ended.test or 'collecting tests'} fails without a fault as well: {ended.why}")
            done.update(ended.began)
            not_counted.append(ended.test)
    return "", Ended()


def _stages(root: Path, path: str, fault: Fault, contexts: Path | None) -> Iterator[tuple[str, Choice]]:
    own = own_tests(root, path)
    if own:
        yield "room", Choice(own)
    if contexts is not None:
        source = (root / path).read_text(encoding="utf-8")
        number = number_in(source, fault)
        assert number is not None
        tests = covering(contexts, path, statement_lines(source, number))
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        yield "line", Choice([file for file in files if (root / file).is_file()], only=frozenset(tests))
    yield "all", Choice()


def _ended_with(copy: Copy, path: str, fault: Fault, choice: Choice) -> Ended:
    """Runs tests with the fault, then removes it."""
    file = copy.root / path
    try:
        file.write_text(planted(file.read_text(encoding="utf-8"), fault), encoding="utf-8")
        return copy.run(choice)
    finally:
        copy.reset()


def attempt_all(faults: Sequence[Fault], copies: Sequence[Copy], contexts: Path | None, out: Path) -> None:
    """Tries faults in several copies at once, and saves every result; faults with a result are skipped."""
    results = read_results(out) if out.exists() else []
    known = {result.id for result in results}
    free: Queue[Copy] = Queue()
    for copy in copies:
        free.put(copy)
    trust = Trust()

    def attempt_in_free(fault: Fault) -> Result:
        copy = free.get()
        try:
            return attempt(copy, fault, contexts, trust)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        tries = [pool.submit(attempt_in_free, fault) for fault in faults if fault.id not in known]
        try:
            for done in as_completed(tries):
                results.append(done.result())
                write_results(out, results)
                print(said(results[-1]), flush=True)
        except BaseException:
            for copy in copies:
                copy.stop()
            pool.shutdown(cancel_futures=True)
            raise


def said(result: Result) -> str:
    """Returns a line about a result."""
    by = f" at stage {result.stage} by {result.test}, {result.how}" if result.outcome == CAUGHT else ""
    return f"{result.id} {result.path}: {result.outcome}{by}; {result.seconds:g} s"


def read_results(path: Path) -> list[Result]:
    """Returns the results in a file."""
    return [Result(**result) for result in json.loads(path.read_text(encoding="utf-8"))]


def write_results(path: Path, results: Sequence[Result]) -> None:
    """Writes the results to a file, one per line, in the order of the faults."""
    ordered = sorted(results, key=lambda result: result.id)
    lines = ",\n".join(f"  {json.dumps(asdict(result), ensure_ascii=False)}" for result in ordered)
    partial = path.with_name(f"{path.name}.part")
    partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    partial.replace(path)
