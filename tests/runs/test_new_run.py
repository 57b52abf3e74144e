"""Who may write where: new folders and empty ones, and those of an old run if it may be replaced or resumed."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from vae_tf.config import RunConfig
from vae_tf.runs.new_run import check_available, check_usable, create_run_dir
from vae_tf.support.errors import InputError


@pytest.fixture
def run(tmp_path):
    return create_run_dir(tmp_path / "run", overwrite=False)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_new_folder_and_its_parents_are_made(tmp_path):
    run = create_run_dir(tmp_path / "a" / "b", overwrite=False)
    assert run.path == tmp_path / "a" / "b"
    assert names(run.path) == set()


def test_existing_empty_folder_is_taken(tmp_path):
    check_available(tmp_path, overwrite=False)
    assert create_run_dir(tmp_path, overwrite=False).path == tmp_path


def test_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for attempt in (check_available, create_run_dir):
        with pytest.raises(InputError, match="--overwrite"):
            attempt(tmp_path, overwrite=False)
    assert names(tmp_path) == {"notes.txt"}


def test_overwrite_refuses_a_folder_that_is_no_run(tmp_path):
    (tmp_path / "model.keras").write_text("mine")
    for attempt in (check_available, create_run_dir):
        with pytest.raises(InputError, match=r"config\.yml"):
            attempt(tmp_path, overwrite=True)
    assert names(tmp_path) == {"model.keras"}


def test_overwrite_removes_every_file_of_the_old_run(run):
    run.write_config(RunConfig())
    run.write_history([{"epoch": 1, "loss": 2.5}])
    run.write_classes(["cat", "dog"])
    for kind in ("samples", "reconstructions"):
        run.save_epoch_figure(kind, Figure((1, 1)), 1)
    run.save_curves(Figure((1, 1)))
    for name in ("model.keras", "sampler.keras", "metrics.json", "per_image.npz", "report.html"):
        (run.path / name).write_text("of the old run")
    (run.path / "checkpoints").mkdir()
    create_run_dir(run.path, overwrite=True)
    assert names(run.path) == {"config.yml", "samples", "reconstructions"}  # the config until there is the next


def test_overwrite_keeps_files_that_are_not_of_a_run(run):
    run.write_config(RunConfig())
    (run.path / "notes.txt").write_text("mine")
    create_run_dir(run.path, overwrite=True)
    assert (run.path / "notes.txt").read_text() == "mine"


def test_overwrite_refuses_a_folder_whose_config_is_of_something_else(tmp_path):
    (tmp_path / "config.yml").write_text("db: x")
    (tmp_path / "samples").mkdir()
    for attempt in (check_available, create_run_dir):
        with pytest.raises(InputError, match=r"config\.yml of a run"):
            attempt(tmp_path, overwrite=True)
    assert names(tmp_path) == {"config.yml", "samples"}


def test_overwrite_keeps_other_files_among_the_figures(run):
    run.write_config(RunConfig())
    run.save_epoch_figure("samples", Figure((1, 1)), 1)
    (run.path / "samples" / "notes.txt").write_text("mine")
    create_run_dir(run.path, overwrite=True)
    assert names(run.path / "samples") == {"notes.txt"}


def test_overwrite_of_a_new_folder_makes_it(tmp_path):
    assert create_run_dir(tmp_path / "run", overwrite=True).path.is_dir()


def test_checking_makes_nothing(tmp_path):
    check_available(tmp_path / "run", overwrite=False)
    assert names(tmp_path) == set()


def test_file_at_the_path_is_refused(tmp_path):
    path = tmp_path / "run"
    path.write_text("mine")
    for attempt in (check_available, create_run_dir):
        with pytest.raises(InputError, match="must be a folder"):
            attempt(path, overwrite=True)
    assert path.read_text() == "mine"


def test_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="writable"):
        create_run_dir(tmp_path / "file" / "run", overwrite=False)


@pytest.mark.parametrize("below", ["", "run"])
@pytest.mark.parametrize("attempt", [check_available, create_run_dir])
def test_folder_that_the_user_may_not_enter_is_an_input_error(ordinary_user, tmp_path, attempt, below):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    with ordinary_user, pytest.raises(InputError, match="locked"):
        attempt(locked / below, overwrite=False)
    locked.chmod(0o700)


def test_a_run_is_usable_if_it_may_be_resumed_or_replaced(run):
    run.write_config(RunConfig())
    check_usable(run.path, overwrite=False, resume=True)
    check_usable(run.path, overwrite=True, resume=False)
    with pytest.raises(InputError, match="must be new or empty"):
        check_usable(run.path, overwrite=False, resume=False)


def test_a_folder_without_a_run_can_not_be_resumed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="must be new or empty"):
        check_usable(tmp_path, overwrite=False, resume=True)
