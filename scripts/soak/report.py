"""What was tested and what was observed, as a page."""

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "hypothesis")


@dataclass
class Part:
    """One kind of trouble.

    Attributes:
        name: Short name.
        asked: What must hold in every case.
        cases: Number of cases tried.
        failures: A line for each case in which it did not hold.
        figures: Lines with other observations.
    """

    name: str
    asked: str
    cases: int = 0
    failures: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    def add(self, case: str, problems: Sequence[str]) -> None:
        """Counts a case, which held if there are no problems."""
        self.cases += 1
        if problems:
            self.failures.append(f"{case}: {'; '.join(problems)}")
        print(f"  {self.name} {self.cases}: {case}: {'; '.join(problems) or 'holds'}", flush=True)

    @property
    def held(self) -> bool:
        """Whether there were cases and all of them held."""
        return self.cases > 0 and not self.failures


def page(parts: Sequence[Part], command: str) -> str:
    """Returns the text of RELIABILITY.md."""
    rows = [
        f"| {part.name} | {part.asked} | {part.cases - len(part.failures):,} of {part.cases:,} | "
        f"{'yes' if part.held else '**no**'} |"
        for part in parts
    ]
    figures = [f"- {part.name}: {figure}" for part in parts for figure in part.figures]
    failures = [f"- {part.name}: {' '.join(failure.split())}" for part in parts for failure in part.failures]
    failures += [f"- {part.name}: no case was tried" for part in parts if not part.cases and not part.failures]
    return "\n".join(
        [
            "# Reliability",
            "",
            f"Written by `{command}` on {time.strftime('%Y-%m-%d')}, {commit()}.",
            f"{cpu()}, {os.cpu_count()} cores; {platform.system()} {platform.release()}, "
            f"Python {platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in PACKAGES)}.",
            "",
            "| part | asked of every case | seen | held |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "## Failures",
            "",
            *(failures or ["None."]),
            "",
            "## Figures",
            "",
            *(figures or ["None."]),
            "",
        ]
    )


def commit() -> str:
    """Returns the current commit, and whether the tree differs from it."""
    head = _git("rev-parse", "HEAD") or "unknown"
    changed = [line for line in _git("status", "--porcelain").splitlines() if not line.endswith(" RELIABILITY.md")]
    return f"commit {head}" + (f" with {len(changed)} files that are not committed" if changed else "")


def cpu() -> str:
    """Returns the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def said(command: Sequence[str]) -> str:
    """Returns the command line of this process."""
    return " ".join(["python -m scripts.soak", *command]) if command else "make soak"


def status(parts: Sequence[Part]) -> int:
    """Returns 0 if everything held, otherwise 1."""
    return 0 if all(part.held for part in parts) else 1
