"""What was asked and what was seen, as a page."""

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
        name: In a word.
        asked: What must be seen in every case.
        cases: How many were tried.
        failures: A line for each case in which something else was seen.
        figures: Lines of what else was seen.
    """

    name: str
    asked: str
    cases: int = 0
    failures: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    def add(self, case: str, problems: Sequence[str]) -> None:
        """Counts a case, which held where there is no problem."""
        self.cases += 1
        if problems:
            self.failures.append(f"{case}: {'; '.join(problems)}")
        print(f"  {self.name} {self.cases}: {case}: {'; '.join(problems) or 'holds'}", flush=True)

    @property
    def held(self) -> bool:
        """Whether there were cases, and all of them were as asked."""
        return self.cases > 0 and not self.failures


def page(parts: Sequence[Part], command: str) -> str:
    """Returns RELIABILITY.md."""
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
    """Returns which commit it is, and whether the tree is another."""
    head = _git("rev-parse", "HEAD") or "unknown"
    changed = [line for line in _git("status", "--porcelain").splitlines() if not line.endswith(" RELIABILITY.md")]
    return f"commit {head}" + (f" with {len(changed)} files that are not committed" if changed else "")


def cpu() -> str:
    """Returns what the processor calls itself."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def said(command: Sequence[str]) -> str:
    """Returns the command of this process as one types it."""
    return " ".join(["python -m scripts.soak", *command]) if command else "make soak"


def status(parts: Sequence[Part]) -> int:
    """Returns 0 where everything held, else 1."""
    return 0 if all(part.held for part in parts) else 1
