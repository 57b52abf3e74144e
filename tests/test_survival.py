"""A run is stopped, killed and damaged, and ends as if nothing had been; `make soak` does it many times more."""

import json
import shutil

import numpy as np
import pytest

from scripts.soak import report
from scripts.soak.damage import Damage, DamageTest, damage_stores, one_of_each_kind, resume_damaged_run
from scripts.soak.growth import slope
from scripts.soak.kills import UninterruptedRun, kill_and_finish
from scripts.soak.runs import SmallRun, differences, digest_contents

pytestmark = pytest.mark.usefixtures("rendered_figures")

KILLS = 3
FLIPS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("survival")


@pytest.fixture(scope="module")
def whole(folder):
    """The run that nothing interrupts."""
    return UninterruptedRun(SmallRun(folder, folder / "whole"))


@pytest.fixture(scope="module")
def stopped(folder):
    """A run that SIGTERM stopped, with two checkpoints."""
    run = SmallRun(folder, folder / "stopped")
    run.result = run.stop()
    return run


@pytest.mark.slow
def test_nothing_is_told_of_a_whole_run(whole):
    assert whole.result.problems() == []


@pytest.mark.slow
def test_sigterm_saves_and_tells_where(stopped):
    assert stopped.result.status == 143
    assert f"are saved in {stopped.checkpoints}" in stopped.result.stderr.splitlines()[-1]


@pytest.mark.slow
def test_run_that_was_stopped_and_killed_ends_as_if_never(stopped, whole, folder):
    rng, fell = np.random.default_rng(), []
    while len(fell) < KILLS:
        run = SmallRun(folder, folder / f"killed{len(fell)}")
        if not fell:
            shutil.copytree(stopped.path, run.path)
        more, problems = kill_and_finish(run, whole, rng, KILLS - len(fell))
        fell += more
        assert problems == [], fell


@pytest.mark.slow
def test_damaged_checkpoints_are_named_and_never_used(stopped, tmp_path):
    part = damage_stores(stopped, tmp_path / "store", FLIPS, np.random.default_rng())
    assert part.failures == []
    assert part.cases == 2 * 5 * 4 + FLIPS  # five kinds of cuts in four files


@pytest.mark.slow
def test_use_of_a_damaged_checkpoint_would_be_seen(stopped, tmp_path, monkeypatch):
    def other_step(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), "step": 1}))

    monkeypatch.setattr("vae_tf.training.checkpoint.store._find_damage", lambda path: None)
    test = DamageTest(stopped.checkpoints, tmp_path / "store")
    assert test.problems(Damage("progress.json", "changed", other_step)) == ["damaged state is used"]


@pytest.mark.slow
def test_command_goes_on_from_the_checkpoint_before_a_damaged_one(stopped, whole, folder):
    *_, flip = one_of_each_kind(stopped, np.random.default_rng(0))
    assert resume_damaged_run(stopped, SmallRun(folder, folder / "damaged"), flip, whole) == []


@pytest.mark.slow
def test_another_weight_or_loss_or_image_would_be_seen(whole, folder, tmp_path):
    shutil.copytree(folder / "whole", tmp_path / "copy")
    for name in ("history.csv", "samples/epoch_0001.png"):
        path = tmp_path / "copy" / name
        path.write_bytes(path.read_bytes().replace(b"\n1,", b"\n2,") + b" ")
    (tmp_path / "copy" / "left.partial").touch()
    assert differences(digest_contents(tmp_path / "copy"), whole.content) == [
        "left.partial is unexpected",
        "history.csv is different",
        "samples/epoch_0001.png is different",
    ]


def test_report_lists_failures():
    bad, good = report.Scenario("kills", "the same end"), report.Scenario("disk", "one line")
    bad.add("run 1", [])
    bad.add("run 2", ["model.keras\nis different"])
    good.add("2.5 checkpoints", [])
    page = report.page([bad, good], "make soak")
    assert "| kills | the same end | 1 of 2 | **no** |" in page
    assert "| disk | one line | 1 of 1 | yes |" in page
    assert "- kills: run 2: model.keras is different" in page
    assert report.status([bad, good]) == 1
    assert report.status([good]) == 0


def test_a_part_without_a_case_is_a_failure():
    part = report.Scenario("fuzz", "one line")
    assert "- fuzz: no case was tested" in report.page([part], "make soak")
    assert report.status([part]) == 1


def test_growth_is_seen_through_what_comes_and_goes():
    comes_and_goes = np.tile([9000.0, 0, 4000, 30000, 700], 40)
    assert slope(comes_and_goes) == pytest.approx(0)
    assert slope(comes_and_goes + 25 * np.arange(200)) == pytest.approx(25)
