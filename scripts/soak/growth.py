"""Measures the memory and the open files of a run with many epochs."""

import os
from pathlib import Path

import numpy as np

from .report import Part
from .runs import SmallRun

SETTLED = 1 / 3  # fraction of the epochs in which allocators and caches may still grow
MOST_KILOBYTES_AN_EPOCH = 20.0
WINDOW = 10  # epochs, of which only the lowest value counts, because figures are freed late


def growth(folder: Path, epochs: int) -> Part:
    """Trains for many epochs on few images, once drawing after every epoch, once only after the last."""
    part = Part("growth", f"at most {MOST_KILOBYTES_AN_EPOCH:g} kB more memory an epoch, and no more open files")
    for name, every in (("with pictures", 1), ("without pictures", epochs)):
        run = SmallRun(folder, folder / name, "--epochs", str(epochs), "--sample-every", str(every))
        _follow(part, run, name)
    return part


def slope(memory: np.ndarray) -> float:
    """Returns how much memory `(N,)`, one value per epoch, grows per epoch, fitted to the minimum of each window."""
    lows = memory[: len(memory) // WINDOW * WINDOW].reshape(-1, WINDOW).min(axis=1)
    return float(np.polyfit(np.arange(len(lows)), lows, 1)[0] / WINDOW)


def _follow(part: Part, run: SmallRun, name: str) -> None:
    """Measures the process after every epoch."""
    process = run.start()
    assert process.stdout is not None
    assert process.stderr is not None
    seen = [_held(process.pid) for line in process.stdout if line.startswith("epoch ")]
    told, status = process.stderr.read(), process.wait()
    part.add(f"the run {name}", [f"status {status}, stderr {told[-300:]!r}"] if status or told else [])
    begin = int(SETTLED * len(seen))
    memory, files = np.array(seen, float).T[:, begin:-1]  # after the last epoch the process may have ended
    grows = slope(memory)
    part.add(f"memory {name}", [f"{grows:.1f} kB an epoch"] if grows > MOST_KILOBYTES_AN_EPOCH else [])
    quarter = len(files) // 4
    more = files[-quarter:].min() - files[:quarter].min()  # the minimum, because a checkpoint may be open
    part.add(f"open files {name}", [f"{more:g} more"] if more > 0 else [])
    part.figures.append(
        f"{name}, {len(seen)} epochs; after the first {begin}, the lows of memory grew {grows:.2f} kB an epoch, from "
        f"{memory[:WINDOW].min() / 1024:.1f} to {memory[-WINDOW:].min() / 1024:.1f} MiB (highest "
        f"{memory.max() / 1024:.1f}); open files from {files[:quarter].min():g} to "
        f"{files[-quarter:].min():g} (highest {files.max():g})"
    )


def _held(process: int) -> tuple[int, int]:
    """Returns the resident kilobytes and the number of open files."""
    place = Path("/proc", str(process))
    pages = int((place / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024, len(list((place / "fd").iterdir()))
