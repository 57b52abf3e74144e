"""Measures the memory and the open files of a run with many epochs."""

import os
from pathlib import Path

import numpy as np

from .report import Scenario
from .runs import SmallRun

WARMUP_FRACTION = 1 / 3  # fraction of the epochs in which allocators and caches may still grow
MAX_KILOBYTES_PER_EPOCH = 20.0
WINDOW = 10  # epochs; only the lowest value in each window counts, because figures are freed late


def growth_scenario(folder: Path, epochs: int) -> Scenario:
    """Trains for many epochs on a few images: once with figures after every epoch, once only after the last."""
    requirement = f"memory grows by at most {MAX_KILOBYTES_PER_EPOCH:g} kB per epoch, and open files do not increase"
    scenario = Scenario("growth", requirement)
    for name, sample_every in (("with figures", 1), ("without figures", epochs)):
        run = SmallRun(folder, folder / name, "--epochs", str(epochs), "--sample-every", str(sample_every))
        _measure(scenario, run, name)
    return scenario


def slope(memory: np.ndarray) -> float:
    """Returns how much memory `(N,)`, one value per epoch, grows per epoch, fitted to the minimum of each window."""
    lows = memory[: len(memory) // WINDOW * WINDOW].reshape(-1, WINDOW).min(axis=1)
    return float(np.polyfit(np.arange(len(lows)), lows, 1)[0] / WINDOW)


def _measure(scenario: Scenario, run: SmallRun, name: str) -> None:
    """Measures the process after every epoch."""
    process = run.start()
    assert process.stdout is not None
    assert process.stderr is not None
    measurements = [_memory_and_files(process.pid) for line in process.stdout if line.startswith("epoch ")]
    stderr, status = process.stderr.read(), process.wait()
    scenario.add(f"the run {name}", [f"status {status}, stderr {stderr[-300:]!r}"] if status or stderr else [])
    begin = int(WARMUP_FRACTION * len(measurements))
    memory, files = np.array(measurements, float).T[:, begin:-1]  # after the last epoch the process may have ended
    rate = slope(memory)
    scenario.add(f"memory {name}", [f"{rate:.1f} kB per epoch"] if rate > MAX_KILOBYTES_PER_EPOCH else [])
    quarter = len(files) // 4
    increase = files[-quarter:].min() - files[:quarter].min()  # the minimum, because a checkpoint may be open
    scenario.add(f"open files {name}", [f"{increase:g} more"] if increase > 0 else [])
    scenario.observations.append(
        f"{name}, {len(measurements)} epochs; after the first {begin}, the lows of memory grew by {rate:.2f} kB per "
        f"epoch, from {memory[:WINDOW].min() / 1024:.1f} to {memory[-WINDOW:].min() / 1024:.1f} MiB (highest "
        f"{memory.max() / 1024:.1f}); open files from {files[:quarter].min():g} to "
        f"{files[-quarter:].min():g} (highest {files.max():g})"
    )


def _memory_and_files(process: int) -> tuple[int, int]:
    """Returns the resident kilobytes and the number of open files."""
    folder = Path("/proc", str(process))
    pages = int((folder / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024, len(list((folder / "fd").iterdir()))
