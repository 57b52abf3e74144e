"""Damages checkpoints: the one before must be used, or an error must say that there is none."""

import contextlib
import functools
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_tf.support.errors import InputError
from vae_tf.training.checkpoint.store import Checkpoint, CheckpointStore

from .kills import Whole
from .report import Part
from .runs import SmallRun, content, differences

Change = Callable[[Path], object]


# How many bytes are left, given the length.
CUTS: dict[str, Callable[[int], int]] = {
    "nothing": lambda size: 0,
    "a byte": lambda size: 1,
    "half": lambda size: size // 2,
    "all but a byte": lambda size: size - 1,
}


class Damage(NamedTuple):
    """A change to a file of a checkpoint."""

    file: str
    what: str
    change: Change


def cuts(checkpoint: Path) -> Iterator[Damage]:
    """Yields every file truncated to 0, 1, half and length - 1 bytes, and deleted."""
    for file in sorted(checkpoint.iterdir()):
        for what, left in CUTS.items():
            yield Damage(file.name, f"cut to {what}", functools.partial(_cut, left))
        yield Damage(file.name, "deleted", Path.unlink)


def flips(checkpoint: Path, count: int, rng: np.random.Generator) -> Iterator[Damage]:
    """Yields single flipped bits, the same number in every file."""
    files = sorted(checkpoint.iterdir())
    for number in range(count):
        file = files[number % len(files)]
        bit = int(rng.integers(8 * file.stat().st_size))
        yield Damage(file.name, f"bit {bit} flipped", functools.partial(_flip, bit))


def folder_of(store: Path, which: int) -> Path:
    """Returns the folder of a checkpoint; -1 is the newest."""
    return sorted(store.glob("step_*"))[which]


class Survey:
    """Damages copies of a folder of checkpoints, and checks what is read from them.

    Args:
        checkpoints: The folder, with two undamaged checkpoints.
        place: Where to copy it.
    """

    def __init__(self, checkpoints: Path, place: Path) -> None:
        self._checkpoints = checkpoints
        self._place = place
        self._newest = _read(CheckpointStore(checkpoints).newest())
        self._older = self._read_with(Damage("", "deleted", lambda _: shutil.rmtree(folder_of(place, -1))))[0]

    def problems(self, damage: Damage) -> list[str]:
        """Returns what is wrong if the newest checkpoint is damaged."""
        found, told = self._read_with(damage)
        if found == self._newest:  # harmless damage, such as to the end of the last line
            return [f"a warning of nothing: {told}"] if told else []
        if found != self._older:
            return ["damaged state is used"]
        name = folder_of(self._place, -1).name
        return [] if told.count("\n") == 1 and name in told else [f"the damage is not told: {told!r}"]

    def problems_of_both(self, damage: Damage) -> list[str]:
        """Returns what is wrong if the other checkpoint is damaged as well."""
        try:
            found, _ = self._read_with(damage, both=True)
        except InputError as error:
            names = [path.name for path in self._place.glob("step_*")]
            return [] if all(name in str(error) for name in names) else [f"the damage is not told: {error}"]
        return [] if found == self._newest else ["damaged state is used"]

    def _read_with(self, damage: Damage, *, both: bool = False) -> tuple[object, str]:
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree(self._checkpoints, self._place)
        for which in (-1, -2) if both else (-1,):
            damage.change(folder_of(self._place, which) / damage.file)
        told = io.StringIO()
        with contextlib.redirect_stderr(told):
            return _read(CheckpointStore(self._place).newest()), told.getvalue()


def damaged_stores(stopped: SmallRun, place: Path, num_flips: int, rng: np.random.Generator) -> Part:
    """Damages the checkpoints of a stopped run, and reads them."""
    part = Part(
        "damage", "a damaged checkpoint is named and the one before is used; where there is none, a line says so"
    )
    survey = Survey(stopped.checkpoints, place)
    newest = folder_of(stopped.checkpoints, -1)
    for damage in (*cuts(newest), *flips(newest, num_flips, rng)):
        part.add(f"{damage.file} {damage.what}", survey.problems(damage))
    for damage in cuts(newest):
        part.add(f"{damage.file} {damage.what} in both", survey.problems_of_both(damage))
    return part


def damaged_run(stopped: SmallRun, run: SmallRun, damage: Damage, whole: Whole) -> list[str]:
    """Resumes a copy of a stopped run whose newest checkpoint is damaged, and returns what is wrong with it."""
    shutil.copytree(stopped.path, run.path)
    newest = folder_of(run.checkpoints, -1)
    damage.change(newest / damage.file)
    return run.train().problems(0, f"warning: checkpoint {newest} is damaged") + differences(
        content(run.path), whole.content
    )


def damage(folder: Path, num_flips: int, rng: np.random.Generator) -> Part:
    """Damages checkpoints and reads them, with `CheckpointStore` and with the command."""
    whole = Whole(SmallRun(folder, folder / "whole"))
    stopped = SmallRun(folder, folder / "stopped")
    stop = stopped.stop()
    part = damaged_stores(stopped, folder / "store", num_flips, rng)
    part.add("SIGTERM", stop.problems(143, "is saved in", lines=3))  # an empty line, a reply to the signal, the error
    for number, harm in enumerate(few_of(stopped, rng)):
        run = SmallRun(folder, folder / f"run{number}")
        part.add(f"the command, {harm.file} {harm.what}", damaged_run(stopped, run, harm, whole))
    return part


def few_of(stopped: SmallRun, rng: np.random.Generator) -> list[Damage]:
    """Returns a truncation, a deletion and a flipped bit."""
    newest = folder_of(stopped.checkpoints, -1)
    cut, *_, deletion = cuts(newest)
    return [cut, deletion, *list(flips(newest, 3, rng))[2:]]


def _read(checkpoint: Checkpoint | None) -> object:
    """Returns everything in a checkpoint, to compare it."""
    assert checkpoint is not None
    arrays = sorted((name, str(array.dtype), array.tobytes()) for name, array in checkpoint.arrays().items())
    return checkpoint.step, checkpoint.progress, arrays


def _cut(left: Callable[[int], int], path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(left(path.stat().st_size))


def _flip(bit: int, path: Path) -> None:
    values = bytearray(path.read_bytes())
    values[bit // 8] ^= 1 << bit % 8
    path.write_bytes(values)
