"""Reports which faults were caught, as a Markdown table with counts."""

from collections import Counter
from collections.abc import Mapping, Sequence

from .faults import Fault
from .trials import CAUGHT, LOST, STAGES, SURVIVED, Result

CONTEXT = 24  # characters of a long line to show on either side of the change
MAX_LINE_LENGTH = 60

Runs = Mapping[str, Mapping[str, Result]]  # title of a column -> results by the ID of the fault


def build_table(faults: Sequence[Fault], runs: Runs) -> str:
    """Returns a table with a row per fault, and a line of counts for each run."""
    head = ["id", "subpackage", "function", "kind", "change", *runs]
    rows = [
        [fault.id, fault.subpackage, f"{fault.path}:{fault.name}", fault.kind, describe_change(fault)]
        + [_caught_by(results.get(fault.id)) for results in runs.values()]
        for fault in faults
    ]
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in (head, ["---"] * len(head), *rows)]
    counts = [summarize_counts(name, results) for name, results in runs.items()]
    return "\n".join([*(f"| {line} |" for line in lines), "", *(f"- {line}" for line in counts)])


def describe_change(fault: Fault) -> str:
    """Returns a line and its replacement; of a long line, only the characters around the change."""
    old, new = fault.line, fault.replacement
    begin = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    same = 0
    while same < min(len(old), len(new)) - begin and old[-1 - same] == new[-1 - same]:
        same += 1
    return f"`{_shortened(old, begin, same)}` -> `{_shortened(new, begin, same)}`"


def _shortened(line: str, begin: int, same: int) -> str:
    if len(line) <= MAX_LINE_LENGTH:
        return line
    left, right = max(begin - CONTEXT, 0), len(line) - max(same - CONTEXT, 0)
    return f"{'...' if left else ''}{line[left:right]}{'...' if right < len(line) else ''}"


def _caught_by(result: Result | None) -> str:
    if result is None:
        return "not tested"
    if result.outcome != CAUGHT:
        return f"**{result.outcome}**"
    return f"{result.test or 'pytest itself'} ({result.stage}{'' if result.how == 'failing' else f', {result.how}'})"


def summarize_counts(name: str, results: Mapping[str, Result]) -> str:
    """Returns a line with the number of faults that were caught, and by which tests."""
    outcomes = Counter(result.outcome for result in results.values())
    stages = Counter(result.stage for result in results.values())
    kinds = Counter(result.how for result in results.values())
    return (
        f"{name}: {outcomes[CAUGHT]} of {len(results)}, "
        + ", ".join(f"{stages[stage]} by {tests}" for stage, tests in STAGES.items())
        + f"; {kinds['hanging']} of them by hanging, {kinds['crashing']} by crashing; "
        f"{outcomes[SURVIVED]} {SURVIVED}, {outcomes[LOST]} {LOST}"
    )
