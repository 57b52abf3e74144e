"""Fills disks: a run must stop with a one-line error without damaging any file, and resume once there is space."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .kills import UninterruptedRun
from .report import Scenario
from .runs import SmallRun, differences, digest_contents

LARGE = ("--hidden-sizes", "256")  # so that a checkpoint is larger than everything else
SMALL = ("--hidden-sizes", "4", "--keep-checkpoints", "1")  # so that a checkpoint may fit where a figure does not
CHECKPOINTS_THAT_FIT = 2.5
DISK_FULL = "No space left on device"


class Disk:
    """A file system in memory, as a context manager.

    Args:
        path: Where to mount it; created at the start and removed at the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "Disk":
        self.path.mkdir()
        _run("mount", "-t", "tmpfs", "tmpfs", self.path)
        return self

    def __exit__(self, *error: object) -> None:
        _run("umount", "--lazy", self.path)
        self.path.rmdir()

    def resize(self, *, kilobytes: int = 0, files: int = 0) -> None:
        """Sets the available kilobytes, and the number of files and folders; 0 for no limit."""
        _run("mount", "-o", f"remount,size={kilobytes}k,nr_inodes={files}", self.path)


def kilobytes(folder: Path) -> int:
    """Returns the size of a folder on disk in kilobytes, in whole blocks."""
    return sum(-(-path.stat().st_size // 4096) * 4 for path in folder.rglob("*") if path.is_file())


def damaged_checkpoints(run: SmallRun) -> list[str]:
    """Returns which checkpoints do not match their checksums according to `sha256sum`, an independent program."""
    check = ("sha256sum", "--check", "--strict", "--status", "SHA256SUMS")
    return [
        f"{path.name} is damaged"
        for path in sorted(run.checkpoints.glob("step_*"))
        if subprocess.run(check, cwd=path).returncode
    ]


def fill_and_resume(
    disk: Disk, run: SmallRun, reference: UninterruptedRun, *, size: int = 0, files: int = 0
) -> tuple[str, list[str]]:
    """Trains with too little space, then resumes with enough.

    Args:
        disk: The disk that the run is on.
        run: A new run.
        reference: The same run with enough space.
        size: Kilobytes available at first.
        files: Maximum number of files and folders at first.

    Returns:
        The stderr of the first command, and the problems.
    """
    disk.resize(kilobytes=size, files=files)
    first = run.train()
    problems = first.problems(2, DISK_FULL) if first.status else []
    problems += damaged_checkpoints(run)
    disk.resize()
    if first.status:
        problems += run.train().problems()
    return first.stderr, problems + differences(digest_contents(run.path), reference.content)


@contextmanager
def run_on_disk(folder: Path, options: Sequence[str]) -> Iterator[tuple[Disk, SmallRun]]:
    """Yields a disk and a run on it."""
    with Disk(folder / "disk") as disk:
        yield disk, SmallRun(folder, disk.path / "run", *options)


def fill_with_checkpoints(folder: Path, reference: UninterruptedRun, checkpoint: int) -> list[str]:
    """Trains with space for two and a half checkpoints, while two are kept."""
    with run_on_disk(folder, LARGE) as (disk, run):
        stderr, problems = fill_and_resume(disk, run, reference, size=int(CHECKPOINTS_THAT_FIT * checkpoint))
        return problems if stderr else [*problems, "the disk was not full"]


def fill_temporary_folder(folder: Path, reference: UninterruptedRun, checkpoint: int) -> list[str]:
    """Trains with space for half a checkpoint in the temporary folder."""
    run = SmallRun(folder, folder / "run", *LARGE)
    with Disk(folder / "temporary") as disk:
        run.temporary = disk.path
        stderr, problems = fill_and_resume(disk, run, reference, size=checkpoint // 2)
    shutil.rmtree(run.path)
    return problems if stderr else [*problems, "the disk was not full"]


def full_disk_scenario(folder: Path, count: int, rng: np.random.Generator) -> Scenario:
    """Fills disks: with checkpoints, and `count` times at a random point, by size or by number of files."""
    scenario = Scenario(
        "disk", "a full disk ends the run with a one-line error and damages no file; with free space, the run resumes"
    )
    large = SmallRun(folder, folder / "large", *LARGE)
    reference = UninterruptedRun(large)
    scenario.add("enough space", reference.result.problems())
    checkpoint = kilobytes(next(large.checkpoints.glob("step_*")))
    scenario.add("space for 2.5 checkpoints", fill_with_checkpoints(folder, reference, checkpoint))
    scenario.add("a full temporary folder", fill_temporary_folder(folder, reference, checkpoint))
    small = SmallRun(folder, folder / "small", *SMALL)
    reference = UninterruptedRun(small)
    total_kilobytes, num_files = kilobytes(small.path), len(list(small.path.rglob("*")))
    full_at: Counter[str] = Counter()
    for number in range(count):
        name, maximum, smallest = ("size", total_kilobytes, 4) if number % 2 else ("files", num_files, 2)
        limit = {name: int(rng.integers(smallest, maximum))}
        with run_on_disk(folder, SMALL) as (disk, run):
            stderr, problems = fill_and_resume(disk, run, reference, **limit)
        full_at[_file_in(stderr)] += 1
        scenario.add(f"{limit}, full at {_file_in(stderr)}", problems)
    counts = ", ".join(f"{file} {times}" for file, times in full_at.items())
    scenario.observations.append(f"disks were full at: {counts}")
    return scenario


def _file_in(stderr: str) -> str:
    """Returns which file or folder was being written when the space ran out."""
    for name in ("checkpoints", "samples", "reconstructions", "model.keras", "history.csv", "curves.png", "config.yml"):
        if name in stderr:
            return name
    return "another file" if stderr else "no file"


def _run(*words: object) -> None:
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if result.returncode:
        raise OSError(f"mounting a disk needs root, or `unshare --map-root-user --mount`. Received: {result.stderr}")
