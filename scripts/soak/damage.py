"""Damages checkpoints: the previous checkpoint must be used, or an error must report that there is none."""

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

from .kills import UninterruptedRun
from .report import Scenario
from .runs import SmallRun, differences, digest_contents

Change = Callable[[Path], object]


# The number of bytes to keep, given the length of a file.
TRUNCATIONS: dict[str, Callable[[int], int]] = {
    "nothing": lambda size: 0,
    "a byte": lambda size: 1,
    "half": lambda size: size // 2,
    "all but a byte": lambda size: size - 1,
}


class Damage(NamedTuple):
    """A change to a file of a checkpoint.

    Attributes:
        file: Name of the file.
        description: What is changed.
        change: Function that changes the file.
    """

    file: str
    description: str
    change: Change


def truncations(checkpoint: Path) -> Iterator[Damage]:
    """Yields the truncation of every file to 0, 1, half and length - 1 bytes, and its deletion."""
    for file in sorted(checkpoint.iterdir()):
        for description, num_bytes in TRUNCATIONS.items():
            yield Damage(file.name, f"truncated to {description}", functools.partial(_truncate, num_bytes))
        yield Damage(file.name, "deleted", Path.unlink)


def bit_flips(checkpoint: Path, count: int, rng: np.random.Generator) -> Iterator[Damage]:
    """Yields single flipped bits, the same number in every file."""
    files = sorted(checkpoint.iterdir())
    for number in range(count):
        file = files[number % len(files)]
        bit = int(rng.integers(8 * file.stat().st_size))
        yield Damage(file.name, f"bit {bit} flipped", functools.partial(_flip_bit, bit))


def checkpoint_folder(store: Path, index: int) -> Path:
    """Returns the folder of a checkpoint; index -1 is the newest."""
    return sorted(store.glob("step_*"))[index]


class DamageTest:
    """Damages copies of a folder of checkpoints, and checks what is read from them.

    Args:
        checkpoints: The folder, with two valid checkpoints.
        copy: Path of the copies.
    """

    def __init__(self, checkpoints: Path, copy: Path) -> None:
        self._checkpoints = checkpoints
        self._copy = copy
        self._newest = _read(CheckpointStore(checkpoints).newest())
        self._previous = self._read_with(Damage("", "deleted", lambda _: shutil.rmtree(checkpoint_folder(copy, -1))))[0]

    def problems(self, damage: Damage) -> list[str]:
        """Returns the problems that occur if the newest checkpoint is damaged."""
        found, stderr = self._read_with(damage)
        if found == self._newest:  # harmless damage, such as to the end of the last line
            return [f"unnecessary warning: {stderr}"] if stderr else []
        if found != self._previous:
            return ["damaged state is used"]
        name = checkpoint_folder(self._copy, -1).name
        return [] if stderr.count("\n") == 1 and name in stderr else [f"the damage is not reported: {stderr!r}"]

    def problems_with_both(self, damage: Damage) -> list[str]:
        """Returns the problems that occur if the other checkpoint is damaged as well."""
        try:
            found, _ = self._read_with(damage, both=True)
        except InputError as error:
            names = [path.name for path in self._copy.glob("step_*")]
            return [] if all(name in str(error) for name in names) else [f"the damage is not reported: {error}"]
        return [] if found == self._newest else ["damaged state is used"]

    def _read_with(self, damage: Damage, *, both: bool = False) -> tuple[object, str]:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._checkpoints, self._copy)
        for index in (-1, -2) if both else (-1,):
            damage.change(checkpoint_folder(self._copy, index) / damage.file)
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            return _read(CheckpointStore(self._copy).newest()), stderr.getvalue()


def damage_stores(stopped: SmallRun, copy: Path, num_flips: int, rng: np.random.Generator) -> Scenario:
    """Damages copies of the checkpoints of a stopped run, and reads them."""
    scenario = Scenario(
        "damage", "a damaged checkpoint is reported, and the previous one is used, or an error says there is none"
    )
    test = DamageTest(stopped.checkpoints, copy)
    newest = checkpoint_folder(stopped.checkpoints, -1)
    for damage in (*truncations(newest), *bit_flips(newest, num_flips, rng)):
        scenario.add(f"{damage.file} {damage.description}", test.problems(damage))
    for damage in truncations(newest):
        scenario.add(f"{damage.file} {damage.description} in both", test.problems_with_both(damage))
    return scenario


def resume_damaged_run(stopped: SmallRun, run: SmallRun, damage: Damage, reference: UninterruptedRun) -> list[str]:
    """Resumes a copy of a stopped run whose newest checkpoint is damaged, and returns the problems that occur."""
    shutil.copytree(stopped.path, run.path)
    newest = checkpoint_folder(run.checkpoints, -1)
    damage.change(newest / damage.file)
    return run.train().problems(0, f"warning: checkpoint {newest} is damaged") + differences(
        digest_contents(run.path), reference.content
    )


def damage_scenario(folder: Path, num_flips: int, rng: np.random.Generator) -> Scenario:
    """Damages checkpoints and reads them, with `CheckpointStore` and with the command."""
    reference = UninterruptedRun(SmallRun(folder, folder / "reference"))
    stopped = SmallRun(folder, folder / "stopped")
    stop = stopped.stop()
    scenario = damage_stores(stopped, folder / "store", num_flips, rng)
    # An empty line, a reply to the signal, the error.
    scenario.add("SIGTERM", stop.problems(143, "are saved in", lines=3))
    for number, damage in enumerate(one_of_each_kind(stopped, rng)):
        run = SmallRun(folder, folder / f"run{number}")
        problems = resume_damaged_run(stopped, run, damage, reference)
        scenario.add(f"the command, {damage.file} {damage.description}", problems)
    return scenario


def one_of_each_kind(stopped: SmallRun, rng: np.random.Generator) -> list[Damage]:
    """Returns a truncation, a deletion and a flipped bit."""
    newest = checkpoint_folder(stopped.checkpoints, -1)
    truncation, *_, deletion = truncations(newest)
    return [truncation, deletion, *list(bit_flips(newest, 3, rng))[2:]]


def _read(checkpoint: Checkpoint | None) -> object:
    """Returns everything in a checkpoint, in a form that can be compared."""
    assert checkpoint is not None
    arrays = sorted((name, str(array.dtype), array.tobytes()) for name, array in checkpoint.arrays().items())
    return checkpoint.step, checkpoint.progress, arrays


def _truncate(num_bytes: Callable[[int], int], path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(num_bytes(path.stat().st_size))


def _flip_bit(bit: int, path: Path) -> None:
    values = bytearray(path.read_bytes())
    values[bit // 8] ^= 1 << bit % 8
    path.write_bytes(values)
