"""Kills runs with SIGKILL at random moments; when resumed, they must end like the uninterrupted run."""

import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np

from vae_tf.runs.run_dir import RECONSTRUCTIONS, SAMPLES
from vae_tf.support.files import PARTIAL

from .report import Part
from .runs import SmallRun, content, differences, ended, wait

CHECKPOINT, PICTURE, FILE, BETWEEN = "writing a checkpoint", "writing a picture", "writing another file", "elsewhere"
# Writing takes a small part of the time, so kills would rarely hit it by chance; half of them wait for it.
AIMS = (None, None, CHECKPOINT, PICTURE)
MOST_KILLS = 3


class Whole:
    """The uninterrupted run.

    Attributes:
        content: Contents of its folder.
        seconds: Seconds from the first sign of training to the end.
    """

    def __init__(self, run: SmallRun) -> None:
        process = run.start()
        wait(process, run.checkpoints.exists)
        began = time.monotonic()
        self.end = ended(process)
        self.seconds = time.monotonic() - began
        self.content = content(run.path)
        self._steps = _step(run)

    def seconds_left(self, run: SmallRun) -> float:
        """Returns how long another run may take from its last checkpoint to the end."""
        return self.seconds * (self._steps - _step(run) + 1) / (self._steps + 1)


def writing(run: SmallRun) -> str:
    """Returns what a run is writing, or was writing when it was killed."""
    for folders, what in (
        ([run.checkpoints], CHECKPOINT),
        ([run.path / SAMPLES, run.path / RECONSTRUCTIONS], PICTURE),
        ([run.path], FILE),
    ):
        if any(_names(folder, f"{PARTIAL}*") for folder in folders):
            return what
    return BETWEEN


def kill(run: SmallRun, whole: Whole, rng: np.random.Generator) -> str | None:
    """Starts a run and kills it at a random moment after training has started.

    Args:
        run: A new run, or one that was killed.
        whole: The same run without interruption.
        rng: Decides when to kill it.

    Returns:
        What the run was doing, or `None` if it ended before.
    """
    before, left = _names(run.checkpoints, "*"), whole.seconds_left(run)
    aim = AIMS[rng.integers(len(AIMS))]
    process = run.start()
    lives = wait(process, lambda: _names(run.checkpoints, "*") != before)
    moment = time.monotonic() + rng.uniform(0, left)
    lives = lives and wait(process, lambda: time.monotonic() >= moment)
    lives = lives and (aim is None or wait(process, lambda: writing(run) == aim))
    process.kill()
    ended(process)
    return writing(run) if lives else None


def killed_and_ended(run: SmallRun, whole: Whole, rng: np.random.Generator, times: int) -> tuple[list[str], list[str]]:
    """Kills a run several times, or until it ends before it is killed, and then lets it finish.

    Returns:
        What the run was doing each time it was killed, and what is wrong at the end.
    """
    fell: list[str] = []
    while not run.is_finished and len(fell) < times:
        where = kill(run, whole, rng)
        if where is not None:
            fell.append(where)
        elif not run.is_finished:
            return fell, ["it ended before it was killed, and without a model"]
        elif not fell:  # too late
            shutil.rmtree(run.path)
    return fell, run.train().problems() + differences(content(run.path), whole.content)


def kills(folder: Path, count: int, rng: np.random.Generator) -> Part:
    """Kills `count` runs, each once or several times."""
    part = Part("kills", "a run that was killed with SIGKILL ends bit-identical to the uninterrupted one")
    whole = Whole(SmallRun(folder, folder / "whole"))
    part.add("uninterrupted", whole.end.problems())
    all_fell: Counter[str] = Counter()
    for number in range(count):
        run = SmallRun(folder, folder / f"run{number}")
        fell, problems = killed_and_ended(run, whole, rng, int(rng.integers(1, MOST_KILLS + 1)))
        all_fell.update(fell)
        part.add(f"killed while {', '.join(fell)}", problems)
        shutil.rmtree(run.path, ignore_errors=True)
    part.figures.append(
        f"{count} runs were killed {all_fell.total()} times: "
        + ", ".join(f"{n} {what}" for what, n in all_fell.items())
    )
    return part


def _step(run: SmallRun) -> int:
    """Returns the step of the newest checkpoint; 0 if there is none."""
    return max((int(name.partition("_")[2]) for name in _names(run.checkpoints, "step_*")), default=0)


def _names(folder: Path, pattern: str) -> set[str]:
    return {path.name for path in folder.glob(pattern)}
