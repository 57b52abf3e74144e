"""Memory and open files of a run of many epochs."""

import os
from pathlib import Path

import numpy as np

from .report import Part
from .runs import SmallRun

SETTLED = 1 / 3  # of the epochs, in which allocators and caches may fill
MOST_KILOBYTES_AN_EPOCH = 20.0
MOST_DESCRIPTORS = 0


def growth(folder: Path, epochs: int) -> Part:
    """Trains many epochs on few pictures, and looks at the process after each of them."""
    part = Part("growth", f"at most {MOST_KILOBYTES_AN_EPOCH:g} kB more memory an epoch, and no more open files")
    run = SmallRun(folder, folder / "long", "--epochs", str(epochs))
    process = run.start()
    assert process.stdout is not None
    assert process.stderr is not None
    seen = [_held(process.pid) for line in process.stdout if line.startswith("epoch ")]
    told, status = process.stderr.read(), process.wait()
    part.add("the run", [f"status {status}, stderr {told[-300:]!r}"] if status or told else [])
    memory, files = np.array(seen, float).T[:, int(SETTLED * len(seen)) : -1]  # the last may be of its end
    slope = float(np.polyfit(np.arange(len(memory)), memory, 1)[0])
    part.add("memory", [f"{slope:.1f} kB an epoch"] if slope > MOST_KILOBYTES_AN_EPOCH else [])
    more = int(np.median(files[-len(files) // 4 :]) - np.median(files[: len(files) // 4]))
    part.add("open files", [f"{more} more"] if more > MOST_DESCRIPTORS else [])
    part.figures.append(
        f"{len(seen)} epochs; after the first {int(SETTLED * len(seen))}, memory grew {slope:.2f} kB an epoch, from "
        f"{memory[0] / 1024:.1f} to {memory[-1] / 1024:.1f} MB (highest {memory.max() / 1024:.1f}); open files from "
        f"{files[0]:.0f} to {files[-1]:.0f} (highest {files.max():.0f})"
    )
    return part


def _held(process: int) -> tuple[int, int]:
    """Resident kilobytes and open files."""
    place = Path("/proc", str(process))
    pages = int((place / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024, len(list((place / "fd").iterdir()))
