"""Tests faults: the tests that should catch a fault run first, then all others."""

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

from .copies import Copy, RunResult, Selection
from .faults import PACKAGE, TOP_LEVEL, Fault, LostError, locate, number_in, plant, subpackage_of
from .sites import statement_lines

CAUGHT, SURVIVED, LOST = "caught", "survived", "lost"
# The groups of tests, in the order in which they run.
STAGES = {
    "subpackage": "tests of its subpackage",
    "line": "other tests that run its line",
    "all": "the remaining tests",
}


@dataclass(frozen=True)
class Result:
    """The outcome of testing a fault.

    Attributes:
        id: ID of the fault.
        path: Path of the file in which it was planted.
        outcome: caught, survived or lost.
        stage: Key in `STAGES` of the tests that caught it.
        how: failing, hanging or crashing.
        test: The first test that caught it.
        why: The line with the error message.
        baseline_failures: Tests that failed, but also fail without the fault.
        seconds: Total duration.
    """

    id: str
    path: str
    outcome: str
    stage: str = ""
    how: str = ""
    test: str = ""
    why: str = ""
    baseline_failures: Sequence[str] = ()
    seconds: float = 0.0


class Baseline:
    """Determines which tests pass without a fault, by running each alone; shared by all jobs."""

    def __init__(self) -> None:
        self._passes: dict[str, bool] = {}
        self._lock = Lock()

    @property
    def failing(self) -> frozenset[str]:
        """Tests that are known to fail without a fault."""
        with self._lock:
            return frozenset(test for test, passes in self._passes.items() if not passes)

    def passes(self, copy: Copy, test: str, files: Sequence[str]) -> bool:
        """Returns whether a test passes without a fault; if `test` is empty, whether the files can be collected."""
        with self._lock:
            passes = self._passes.get(test)
        if passes is None or not test:
            passes = not copy.run(Selection([test.partition("::")[0]] if test else files, only=frozenset([test]))).how
            with self._lock:
                self._passes[test] = passes
        return passes


def find_own_tests(tree: Path, path: str) -> list[str]:
    """Returns the test file of a module, then the test files of its subpackage if it is in one."""
    module = Path(path).relative_to(PACKAGE)
    mirror = Path("tests") / module.parent / f"test_{module.stem.strip('_')}.py"
    subpackage = subpackage_of(path)
    found = [mirror]
    if subpackage != TOP_LEVEL:
        files = sorted((tree / "tests" / subpackage).rglob("test_*.py"))
        found += [*(file.relative_to(tree) for file in files), Path("tests") / f"test_{subpackage}.py"]
    return [file.as_posix() for file in dict.fromkeys(found) if (tree / file).is_file()]


def find_covering_tests(data: Path, path: str, lines: range) -> list[str]:
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


def try_fault(copy: Copy, fault: Fault, contexts: Path | None, baseline: Baseline) -> Result:
    """Plants a fault in a copy, runs tests until one catches it, and restores the copy."""
    start = time.monotonic()
    try:
        path = locate(copy.root, fault)
    except LostError as error:
        return Result(fault.id, "", LOST, why=str(error))
    baseline_failures: list[str] = []
    stage, run = _first_catch(copy, path, fault, contexts, baseline, baseline_failures)
    seconds = round(time.monotonic() - start, 1)
    if not run.how:
        return Result(fault.id, path, SURVIVED, baseline_failures=baseline_failures, seconds=seconds)
    return Result(fault.id, path, CAUGHT, stage, run.how, run.test, run.why, baseline_failures, seconds)


def _first_catch(
    copy: Copy, path: str, fault: Fault, contexts: Path | None, baseline: Baseline, baseline_failures: list[str]
) -> tuple[str, RunResult]:
    """Returns the stage at which a test caught the fault, and the result of that run of the tests."""
    done: set[str] = set()
    for stage, selection in _stages(copy.root, path, fault, contexts):
        while True:
            remaining = replace(selection, skip=baseline.failing | done)
            if remaining.only is not None and remaining.only <= remaining.skip:
                break
            run = _run_with_fault(copy, path, fault, remaining)
            if not run.how:
                done.update(run.started)
                break
            if baseline.passes(copy, run.test, selection.files):
                return stage, run
            if "::" not in run.test:
                raise RuntimeError(f"{run.test or 'collecting tests'} also fails without a fault: {run.why}")
            done.update(run.started)
            baseline_failures.append(run.test)
    return "", RunResult()


def _stages(root: Path, path: str, fault: Fault, contexts: Path | None) -> Iterator[tuple[str, Selection]]:
    own = find_own_tests(root, path)
    if own:
        yield "subpackage", Selection(own)
    if contexts is not None:
        source = (root / path).read_text(encoding="utf-8")
        number = number_in(source, fault)
        assert number is not None
        tests = find_covering_tests(contexts, path, statement_lines(source, number))
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        yield "line", Selection([file for file in files if (root / file).is_file()], only=frozenset(tests))
    yield "all", Selection()


def _run_with_fault(copy: Copy, path: str, fault: Fault, selection: Selection) -> RunResult:
    """Runs tests with the fault, then removes it."""
    file = copy.root / path
    try:
        file.write_text(plant(file.read_text(encoding="utf-8"), fault), encoding="utf-8")
        return copy.run(selection)
    finally:
        copy.reset()


def try_faults(faults: Sequence[Fault], copies: Sequence[Copy], contexts: Path | None, out: Path) -> None:
    """Tests faults in several copies in parallel, and saves every result; faults that have a result are skipped."""
    results = read_results(out) if out.exists() else []
    done = {result.id for result in results}
    free: Queue[Copy] = Queue()
    for copy in copies:
        free.put(copy)
    baseline = Baseline()

    def try_in_free_copy(fault: Fault) -> Result:
        copy = free.get()
        try:
            return try_fault(copy, fault, contexts, baseline)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        futures = [pool.submit(try_in_free_copy, fault) for fault in faults if fault.id not in done]
        try:
            for future in as_completed(futures):
                results.append(future.result())
                write_results(out, results)
                print(summarize(results[-1]), flush=True)
        except BaseException:
            for copy in copies:
                copy.stop()
            pool.shutdown(cancel_futures=True)
            raise


def summarize(result: Result) -> str:
    """Returns a one-line summary of a result."""
    by = f" by {result.test}, {result.how} ({STAGES[result.stage]})" if result.outcome == CAUGHT else ""
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
