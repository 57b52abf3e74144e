"""Fills disks: a run must stop with one clear line and harm nothing, and resume once there is space."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .kills import Whole
from .report import Part
from .runs import SmallRun, content, differences

LARGE = ("--hidden-sizes", "256")  # so that a checkpoint is larger than everything else
SMALL = ("--hidden-sizes", "4", "--keep-checkpoints", "1")  # so that a checkpoint may fit where a figure does not
CHECKPOINTS_IN_ROOM = 2.5
TOLD = "No space left on device"


class Disk:
    """A file system in memory, as a context manager.

    Args:
        place: Where to mount it; created at the start and removed at the end.
    """

    def __init__(self, place: Path) -> None:
        self.place = place

    def __enter__(self) -> "Disk":
        self.place.mkdir()
        _run("mount", "-t", "tmpfs", "tmpfs", self.place)
        return self

    def __exit__(self, *error: object) -> None:
        _run("umount", "--lazy", self.place)
        self.place.rmdir()

    def resize(self, *, kilobytes: int = 0, files: int = 0) -> None:
        """Sets the available kilobytes, and the number of files and folders; 0 for no limit."""
        _run("mount", "-o", f"remount,size={kilobytes}k,nr_inodes={files}", self.place)


def kilobytes(folder: Path) -> int:
    """Returns how many kilobytes a folder takes on disk, in whole blocks."""
    return sum(-(-path.stat().st_size // 4096) * 4 for path in folder.rglob("*") if path.is_file())


def damaged_checkpoints(run: SmallRun) -> list[str]:
    """Returns which checkpoints do not match their checksums, according to a program that is not ours."""
    check = ("sha256sum", "--check", "--strict", "--status", "SHA256SUMS")
    return [
        f"{path.name} is harmed"
        for path in sorted(run.checkpoints.glob("step_*"))
        if subprocess.run(check, cwd=path).returncode
    ]


def filled(disk: Disk, run: SmallRun, whole: Whole, *, size: int = 0, files: int = 0) -> tuple[str, list[str]]:
    """Trains with too little space, then with more.

    Args:
        disk: The disk that the run is on.
        run: A new run.
        whole: The same run with enough space.
        size: Kilobytes available at first.
        files: Number of files and folders possible at first.

    Returns:
        What stderr says, and what is wrong.
    """
    disk.resize(kilobytes=size, files=files)
    full = run.train()
    problems = full.problems(2, TOLD) if full.status else []
    problems += damaged_checkpoints(run)
    disk.resize()
    if full.status:
        problems += run.train().problems()
    return full.stderr, problems + differences(content(run.path), whole.content)


@contextmanager
def room_for(folder: Path, options: Sequence[str]) -> Iterator[tuple[Disk, SmallRun]]:
    """Yields a disk and a run on it."""
    with Disk(folder / "disk") as disk:
        yield disk, SmallRun(folder, disk.place / "run", *options)


def full_of_checkpoints(folder: Path, whole: Whole, checkpoint: int) -> list[str]:
    """Trains with space for two and a half checkpoints, while two are kept."""
    with room_for(folder, LARGE) as (disk, run):
        told, problems = filled(disk, run, whole, size=int(CHECKPOINTS_IN_ROOM * checkpoint))
        return problems if told else [*problems, "there was room"]


def full_temporary_folder(folder: Path, whole: Whole, checkpoint: int) -> list[str]:
    """Trains with space for half a checkpoint in the folder of temporary files."""
    run = SmallRun(folder, folder / "run", *LARGE)
    with Disk(folder / "temporary") as disk:
        run.temporary = disk.place
        told, problems = filled(disk, run, whole, size=checkpoint // 2)
    shutil.rmtree(run.path)
    return problems if told else [*problems, "there was room"]


def room(folder: Path, count: int, rng: np.random.Generator) -> Part:
    """Fills disks: with checkpoints, and `count` times at a random point, by size or by number of files."""
    part = Part("room", "a full disk ends the run with one line and status 2, and harms nothing; with room it goes on")
    large = SmallRun(folder, folder / "large", *LARGE)
    whole = Whole(large)
    part.add("where there is room", whole.end.problems())
    checkpoint = kilobytes(next(large.checkpoints.glob("step_*")))
    part.add("2.5 checkpoints", full_of_checkpoints(folder, whole, checkpoint))
    part.add("a full temporary folder", full_temporary_folder(folder, whole, checkpoint))
    small = SmallRun(folder, folder / "small", *SMALL)
    whole = Whole(small)
    everything, all_files = kilobytes(small.path), len(list(small.path.rglob("*")))
    stopped_at: Counter[str] = Counter()
    for number in range(count):
        limit = {"size": int(rng.integers(4, everything))} if number % 2 else {"files": int(rng.integers(2, all_files))}
        with room_for(folder, SMALL) as (disk, run):
            told, problems = filled(disk, run, whole, **limit)
        stopped_at[_place_in(told)] += 1
        part.add(f"{limit}, full at {_place_in(told)}", problems)
    part.figures.append("disks were full at: " + ", ".join(f"{place} {times}" for place, times in stopped_at.items()))
    return part


def _place_in(told: str) -> str:
    """Returns what was being written when the space ran out."""
    for name in ("checkpoints", "samples", "reconstructions", "model.keras", "history.csv", "curves.png", "config.yml"):
        if name in told:
            return name
    return "elsewhere" if told else "nowhere"


def _run(*words: object) -> None:
    ended = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if ended.returncode:
        raise OSError(
            f"a full disk needs leave to mount one, as of root or in `unshare --map-root-user --mount`: {ended.stderr}"
        )
