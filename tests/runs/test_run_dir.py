"""The run folder: who may write where, whole files only, and models that come back as they were."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.runs import run_dir as rundir
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError

SHAPE = (8, 8, 1)
ROWS = [{"epoch": 1, "loss": 2.5, "seconds": 0.125}, {"epoch": 2, "loss": 1.0 / 3.0, "seconds": 0.25}]


@pytest.fixture(scope="module")
def model():
    """A small model with moving averages that are not the initial ones."""
    model = vae_tf.build_vae(SHAPE, latent_dim=2, arch="dense", variant="bn", hidden_sizes=(6,), seed=3)
    generator = np.random.default_rng(0)
    model.set_weights([weight + generator.uniform(0, 0.05, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture
def run(tmp_path):
    return RunDir.create(tmp_path / "run", overwrite=False)


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


def test_new_folder_and_its_parents_are_made(tmp_path):
    run = RunDir.create(tmp_path / "a" / "b", overwrite=False)
    assert run.path == tmp_path / "a" / "b"
    assert names(run.path) == set()


def test_existing_empty_folder_is_taken(tmp_path):
    RunDir.check_free(tmp_path, overwrite=False)
    assert RunDir.create(tmp_path, overwrite=False).path == tmp_path


def test_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for attempt in (RunDir.check_free, RunDir.create):
        with pytest.raises(InputError, match="--overwrite"):
            attempt(tmp_path, overwrite=False)
    assert names(tmp_path) == {"notes.txt"}


def test_overwrite_refuses_a_folder_that_is_no_run(tmp_path):
    (tmp_path / "model.keras").write_text("mine")
    for attempt in (RunDir.check_free, RunDir.create):
        with pytest.raises(InputError, match=r"config\.yml"):
            attempt(tmp_path, overwrite=True)
    assert names(tmp_path) == {"model.keras"}


def test_overwrite_removes_every_file_of_the_old_run(run, model):
    run.write_config(RunConfig())
    run.write_history(ROWS)
    run.save_epoch_figure("samples", figure(), 1)
    run.save_epoch_figure("reconstructions", figure(), 1)
    run.save_curves(figure())
    run.save_model(model)
    for name in ("metrics.json", "report.html"):
        (run.path / name).write_text("of the old run")
    (run.path / "checkpoints").mkdir()
    RunDir.create(run.path, overwrite=True)
    assert names(run.path) == {"config.yml", "samples", "reconstructions"}  # the config until there is the next


def test_overwrite_keeps_files_that_are_not_of_a_run(run):
    run.write_config(RunConfig())
    (run.path / "notes.txt").write_text("mine")
    RunDir.create(run.path, overwrite=True)
    assert (run.path / "notes.txt").read_text() == "mine"


def test_overwrite_refuses_a_folder_whose_config_is_of_something_else(tmp_path):
    (tmp_path / "config.yml").write_text("db: x")
    (tmp_path / "samples").mkdir()
    for attempt in (RunDir.check_free, RunDir.create):
        with pytest.raises(InputError, match=r"config\.yml of a run"):
            attempt(tmp_path, overwrite=True)
    assert names(tmp_path) == {"config.yml", "samples"}


def test_overwrite_keeps_other_files_among_the_figures(run):
    run.write_config(RunConfig())
    run.save_epoch_figure("samples", figure(), 1)
    (run.path / "samples" / "notes.txt").write_text("mine")
    RunDir.create(run.path, overwrite=True)
    assert names(run.path / "samples") == {"notes.txt"}


def test_overwrite_of_a_new_folder_makes_it(tmp_path):
    assert RunDir.create(tmp_path / "run", overwrite=True).path.is_dir()


def test_checking_makes_nothing(tmp_path):
    RunDir.check_free(tmp_path / "run", overwrite=False)
    assert names(tmp_path) == set()


def test_file_at_the_path_is_refused(tmp_path):
    path = tmp_path / "run"
    path.write_text("mine")
    for attempt in (RunDir.check_free, RunDir.create):
        with pytest.raises(InputError, match="must be a folder"):
            attempt(path, overwrite=True)
    assert path.read_text() == "mine"


def test_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="can be written"):
        RunDir.create(tmp_path / "file" / "run", overwrite=False)


@pytest.mark.parametrize("below", ["", "run"])
@pytest.mark.parametrize(
    "attempt",
    [
        partial(RunDir.check_free, overwrite=False),
        partial(RunDir.create, overwrite=False),
        RunDir.open,
    ],
    ids=["check_free", "create", "open"],
)
def test_folder_that_the_user_may_not_enter_is_an_input_error(ordinary_user, tmp_path, attempt, below):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    with ordinary_user, pytest.raises(InputError, match="locked"):
        attempt(locked / below)
    locked.chmod(0o700)


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


def test_history_has_a_header_and_a_line_per_epoch(run):
    run.write_history(ROWS)
    assert (run.path / "history.csv").read_text().splitlines() == [
        "epoch,loss,seconds",
        "1,2.5,0.125",
        "2,0.3333333333333333,0.25",
    ]


def test_values_that_some_epochs_lack_are_blank(run):
    rows = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "kl_weight": 0.5}]
    run.write_history(rows)
    assert run.read_history() == rows
    assert (run.path / "history.csv").read_text().splitlines() == ["epoch,loss,kl_weight", "1,2.5,", "2,2.0,0.5"]


METRICS = {key: {"split": "test"} for key in rundir.METRICS_KEYS}


def test_metrics_come_back_equal(run):
    run.write_metrics(METRICS, {"elbo": np.arange(3.0)})
    assert run.read_metrics() == METRICS
    np.testing.assert_array_equal(run.read_per_image()["elbo"], [0, 1, 2])


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"', '{"metrics": {}}'])
def test_metrics_that_evaluate_did_not_write_are_an_input_error(run, text):
    run.metrics_path.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.json must be as evaluate wrote it"):
        run.read_metrics()


@pytest.mark.parametrize("text", ["", "epoch,loss\n", "epoch,loss\n1\n", "epoch,loss\n1,x\n", "loss\n1\n"])
def test_a_damaged_history_is_an_input_error(run, text):
    (run.path / "history.csv").write_text(text)
    with pytest.raises(InputError, match=r"history\.csv must be as train wrote it"):
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


def test_folder_without_a_config_is_no_run(tmp_path):
    with pytest.raises(InputError, match="must be a run folder"):
        RunDir.open(tmp_path)


def test_folder_that_is_not_there_is_no_run(tmp_path):
    with pytest.raises(InputError, match="must be a run folder"):
        vae_tf.load_run(tmp_path / "nowhere")


def test_run_without_a_model_is_not_finished(run):
    run.write_config(RunConfig())
    with pytest.raises(InputError, match="finished"):
        vae_tf.load_run(run.path)


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_truncated_model_is_one_line(run, model, keep):
    run.write_config(RunConfig())
    path = run.save_model(model)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="undamaged") as raised:
        vae_tf.load_run(run.path)
    assert len(str(raised.value).splitlines()) == 1
    assert "model.keras" in str(raised.value)


def test_damaged_config_is_one_line(run):
    (run.path / "config.yml").write_text("latent_dim: [")
    with pytest.raises(InputError, match="YAML") as raised:
        run.read_config()
    assert len(str(raised.value).splitlines()) == 1


def test_loaded_model_gives_the_same_outputs(run, model):
    run.write_config(RunConfig())
    assert run.save_model(model) == run.path / "model.keras"
    loaded = vae_tf.load_run(str(run.path))
    pictures = np.random.default_rng(1).random((5, *SHAPE), np.float32)
    np.testing.assert_array_equal(loaded.encode(pictures), model.encode(pictures))
    np.testing.assert_array_equal(loaded.reconstruct(pictures), model.reconstruct(pictures))
    np.testing.assert_array_equal(loaded.sample(4, seed=2), model.sample(4, seed=2))


def test_loaded_model_continues_the_noise_of_the_saved_one(run, model):
    run.write_config(RunConfig())
    pictures = np.random.default_rng(1).random((5, *SHAPE), np.float32)
    model.elbo_terms(pictures)
    run.save_model(model)
    loaded = vae_tf.load_run(run.path)
    np.testing.assert_array_equal(loaded.elbo_terms(pictures).inferred.z, model.elbo_terms(pictures).inferred.z)
