"""Kills runs with SIGKILL at random moments; resumed, they must end with the same files as the uninterrupted run."""

import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np

from vae_tf.runs.run_dir import RECONSTRUCTIONS, SAMPLES
from vae_tf.support.files import PARTIAL

from .report import Scenario
from .runs import SmallRun, differences, digest_contents, finish, wait

CHECKPOINT, FIGURE, FILE = "writing a checkpoint", "writing a figure", "writing another file"
OTHER = "doing something else"
# Writing takes a small fraction of the time, so random kills would rarely hit it; half of the kills wait for it.
TARGETS = (None, None, CHECKPOINT, FIGURE)
MAX_KILLS = 3


class UninterruptedRun:
    """A run that is not interrupted.

    Attributes:
        result: Status and output of the command.
        content: Digests of the contents of its folder.
        seconds: Seconds from the first checkpoint folder to the end.
    """

    def __init__(self, run: SmallRun) -> None:
        process = run.start()
        wait(process, run.checkpoints.exists)
        start = time.monotonic()
        self.result = finish(process)
        self.seconds = time.monotonic() - start
        self.content = digest_contents(run.path)
        self._steps = _step(run)

    def seconds_left(self, run: SmallRun) -> float:
        """Returns an estimate of the time another run needs from its last checkpoint to the end."""
        return self.seconds * (self._steps - _step(run) + 1) / (self._steps + 1)


def current_activity(run: SmallRun) -> str:
    """Returns what a run is doing, or was doing when it was killed."""
    for folders, activity in (
        ([run.checkpoints], CHECKPOINT),
        ([run.path / SAMPLES, run.path / RECONSTRUCTIONS], FIGURE),
        ([run.path], FILE),
    ):
        if any(_names(folder, f"{PARTIAL}*") for folder in folders):
            return activity
    return OTHER


def kill(run: SmallRun, reference: UninterruptedRun, rng: np.random.Generator) -> str | None:
    """Starts a run and kills it at a random moment after training has started.

    Args:
        run: A new run, or one that was killed.
        reference: The same run without interruption.
        rng: Determines when to kill it.

    Returns:
        What the run was doing, or `None` if it ended before it could be killed.
    """
    before, left = _names(run.checkpoints, "*"), reference.seconds_left(run)
    target = TARGETS[rng.integers(len(TARGETS))]
    process = run.start()
    is_running = wait(process, lambda: _names(run.checkpoints, "*") != before)
    moment = time.monotonic() + rng.uniform(0, left)
    is_running = is_running and wait(process, lambda: time.monotonic() >= moment)
    is_running = is_running and (target is None or wait(process, lambda: current_activity(run) == target))
    process.kill()
    finish(process)
    return current_activity(run) if is_running else None


def kill_and_finish(
    run: SmallRun, reference: UninterruptedRun, rng: np.random.Generator, times: int
) -> tuple[list[str], list[str]]:
    """Kills a run several times, or until it ends before it is killed, and then lets it finish.

    Returns:
        What the run was doing each time it was killed, and the problems at the end.
    """
    activities: list[str] = []
    while not run.is_finished and len(activities) < times:
        activity = kill(run, reference, rng)
        if activity is not None:
            activities.append(activity)
        elif not run.is_finished:
            return activities, ["it ended before it was killed, and without a model"]
        elif not activities:  # too late
            shutil.rmtree(run.path)
    return activities, run.train().problems() + differences(digest_contents(run.path), reference.content)


def kill_scenario(folder: Path, count: int, rng: np.random.Generator) -> Scenario:
    """Kills `count` runs, each once or several times."""
    scenario = Scenario("kills", "a run that was killed with SIGKILL ends bit-identical to the uninterrupted one")
    reference = UninterruptedRun(SmallRun(folder, folder / "reference"))
    scenario.add("uninterrupted", reference.result.problems())
    counts: Counter[str] = Counter()
    for number in range(count):
        run = SmallRun(folder, folder / f"run{number}")
        activities, problems = kill_and_finish(run, reference, rng, int(rng.integers(1, MAX_KILLS + 1)))
        counts.update(activities)
        scenario.add(f"killed while {', '.join(activities)}", problems)
        shutil.rmtree(run.path, ignore_errors=True)
    scenario.observations.append(
        f"{count} runs were killed {counts.total()} times: "
        + ", ".join(f"{n} {activity}" for activity, n in counts.items())
    )
    return scenario


def _step(run: SmallRun) -> int:
    """Returns the step of the newest checkpoint; 0 if there is none."""
    return max((int(name.partition("_")[2]) for name in _names(run.checkpoints, "step_*")), default=0)


def _names(folder: Path, pattern: str) -> set[str]:
    return {path.name for path in folder.glob(pattern)}
