"""The run folder: whole files only, which come back as they were written."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from vae_tf.config import RunConfig
from vae_tf.runs import run_dir as rundir
from vae_tf.runs.new_run import create_run_dir
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError

pytestmark = pytest.mark.usefixtures("rendered_figures")

ROWS = [{"epoch": 1, "loss": 2.5, "seconds": 0.125}, {"epoch": 2, "loss": 1.0 / 3.0, "seconds": 0.25}]


@pytest.fixture
def run(tmp_path):
    return create_run_dir(tmp_path / "run", overwrite=False)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def figure() -> Figure:
    return Figure((1, 1))


class Broken:
    """Stands in for a model, a figure or a value whose file can't be finished."""

    def save(self, path):
        Path(path).write_bytes(b"half a file")
        raise OSError("disk full")

    def savefig(self, path, **options):
        self.save(path)

    def __str__(self):
        raise OSError("disk full")


def test_config_comes_back_equal(run):
    config = RunConfig(
        arch="dense", hidden_sizes=(30, 20), likelihood="gaussian", sigma=0.5, image_size="64x48", channels=1
    )
    run.write_config(config)
    assert run.read_config() == config


def test_images_that_have_moved_are_found_at_their_new_place(run):
    config = RunConfig(dataset="folder", data_dir="/there", image_size="8x8", channels=1)
    run.write_config(config)
    moved = RunDir.open(run.path, "/here").read_config()
    assert moved == config.model_copy(update={"data_dir": "/here"})


def test_history_comes_back_equal(run):
    run.write_history(ROWS)
    assert run.read_history() == ROWS


METRICS = {key: {"split": "test"} for key in rundir.METRICS_KEYS}


def test_metrics_come_back_equal(run):
    run.write_metrics(METRICS, {"elbo": np.arange(3.0)})
    assert run.read_metrics() == METRICS
    np.testing.assert_array_equal(run.read_per_image()["elbo"], [0, 1, 2])


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', '{"metrics": {}}'])
def test_metrics_that_evaluate_did_not_write_are_an_input_error(run, text):
    run.metrics_path.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json is missing or damaged; run evaluate again"):
        run.read_metrics()


@pytest.mark.parametrize("text", ["", "epoch,loss\n", "epoch,loss\n1\n", "epoch,loss\n1,x\n", "loss\n1\n"])
def test_a_damaged_history_is_an_input_error(run, text):
    (run.path / "history.csv").write_text(text)
    with pytest.raises(InputError, match=r"history\.csv is missing or damaged; run train again"):
        run.read_history()


def test_figures_are_named_by_epoch(run):
    assert run.save_epoch_figure("samples", figure(), 7) == run.path / "samples" / "epoch_0007.png"
    longer = run.save_epoch_figure("reconstructions", figure(), 12345)
    assert longer == run.path / "reconstructions" / "epoch_12345.png"
    assert run.save_curves(figure()) == run.path / "curves.png"
    assert names(run.path) == {
        "samples",
        "samples/epoch_0007.png",
        "reconstructions",
        "reconstructions/epoch_12345.png",
        "curves.png",
    }


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("model.keras", lambda run: run.save_model(Broken())),
        ("curves.png", lambda run: run.save_curves(Broken())),
        ("samples/epoch_0001.png", lambda run: run.save_epoch_figure("samples", Broken(), 1)),
        ("history.csv", lambda run: run.write_history([{"epoch": 1}, {"epoch": Broken()}])),
    ],
)
def test_failed_write_keeps_the_old_file_and_leaves_nothing_else(run, name, write):
    (run.path / name).parent.mkdir(exist_ok=True)
    (run.path / name).write_text("old")
    before = names(run.path)
    with pytest.raises(OSError, match="disk full"):
        write(run)
    assert (run.path / name).read_text() == "old"
    assert names(run.path) == before


def test_first_failed_write_leaves_no_file(run):
    before = names(run.path)
    with pytest.raises(OSError, match="disk full"):
        run.save_model(Broken())
    assert names(run.path) == before


def test_written_file_can_be_read_by_others_as_usual(run):
    (run.path / "usual").touch()
    run.write_history(ROWS)
    assert (run.path / "history.csv").stat().st_mode == (run.path / "usual").stat().st_mode


@pytest.mark.parametrize("below", ["", "run"])
def test_folder_that_the_user_may_not_enter_is_an_input_error(ordinary_user, tmp_path, below):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    with ordinary_user, pytest.raises(InputError, match="locked"):
        RunDir.open(locked / below)
    locked.chmod(0o700)


def test_folder_without_a_config_is_no_run(tmp_path):
    with pytest.raises(InputError, match="must be a run folder"):
        RunDir.open(tmp_path)


def test_damaged_config_is_one_line(run):
    (run.path / "config.yml").write_text("latent_dim: [")
    with pytest.raises(InputError, match="YAML") as raised:
        run.read_config()
    assert len(str(raised.value).splitlines()) == 1
