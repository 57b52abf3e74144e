"""A resumed run equals one that was never interrupted."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data.loading import Splits
from vae_tf.data.spec import DatasetSpec
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.support.files import lock_folder
from vae_tf.training import loop, resume, trainer
from vae_tf.training.checkpoint.store import CheckpointStore
from vae_tf.training.checkpoint.writer import CheckpointWriter
from vae_tf.training.resume import ResumePoint
from vae_tf.training.run import run_training

ROOT = Path(__file__).parents[2]
SMALL = {
    "dataset": "npz",
    "arch": "dense",
    "hidden_sizes": (4,),
    "latent_dim": 2,
    "epochs": 2,
    "batch_size": 8,
    "sample_every": 100,
}
CLOCK = ("seconds", "images_per_second")


# Whether it may


class Drawn:
    """A split of as many images as it has names."""

    is_in_memory = True

    def __init__(self, names):
        self.names = names
        self.pixels = np.arange(len(names) * 64, dtype=np.uint8).reshape(-1, 8, 8, 1)
        self.labels = np.arange(len(names)) % 3

    def __len__(self):
        return len(self.names)

    def read(self, indices):
        return self.pixels[indices]


def splits_of(count=36, prefix="/data", shape=(8, 8, 1)):
    spec = DatasetSpec("npz", shape, count, 4, 8, None)
    train, test = (Drawn([f"{prefix}/{number}.png" for number in range(some)]) for some in (count, 8))
    return Splits(spec, train, None, test, train)


def config_of(**changes):
    return RunConfig(**{**SMALL, "data_dir": "/data", **changes}).fill_in_defaults((8, 8, 1))


STEPS = 5  # of an epoch of 36


def place_of(run_dir, *, splits=None, checkpoint_dir=None, resume="auto", **changes):
    folder = None if checkpoint_dir is None else str(checkpoint_dir)
    options = CheckpointConfig(checkpoint_dir=folder, resume=resume)
    return ResumePoint(run_dir, options, config_of(**changes), splits or splits_of())


def begun(run_dir, *, steps=7, finished=False, checkpoint_dir=None, **changes):
    """Makes the folders of a run that was saved after so many steps, or never."""
    with place_of(run_dir, checkpoint_dir=checkpoint_dir, **changes) as place:
        run = place.prepare(place.find(overwrite=False))
        if steps:
            place.store.write(steps, {"model-0000": np.zeros(3, np.float32)}, place.description)
        if finished:
            (run.path / "model.keras").touch()
    return run


def found(run_dir, *, overwrite=False, **options):
    with place_of(run_dir, **options) as place:
        return place.find(overwrite=overwrite)


def test_a_new_run_begins(tmp_path):
    assert found(tmp_path / "run") is None
    assert not (tmp_path / "run").exists()


def test_an_unfinished_run_goes_on(tmp_path):
    begun(tmp_path / "run")

    assert found(tmp_path / "run").step == 7


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_goes_on_with_more_epochs(tmp_path, finished):
    begun(tmp_path / "run", steps=2 * STEPS, finished=finished)
    with place_of(tmp_path / "run", epochs=3) as place:
        run = place.prepare(place.find(overwrite=False))

    assert run.read_config().epochs == 3
    assert not run.is_finished


def test_a_run_that_was_to_have_more_epochs_goes_on_before_the_first_is_saved(tmp_path):
    begun(tmp_path / "run", steps=2 * STEPS, finished=True)
    with place_of(tmp_path / "run", epochs=3) as place:
        place.prepare(place.find(overwrite=False))

    assert found(tmp_path / "run", epochs=3).step == 2 * STEPS


@pytest.mark.parametrize("schedule", ["linear", "cosine", "exponential"])
def test_a_schedule_that_ends_with_the_epochs_allows_no_more_of_them(tmp_path, schedule):
    begun(tmp_path / "run", learning_rate_schedule=schedule)
    with pytest.raises(InputError, match=r"with epochs=2 \(now 3\); use those"):
        found(tmp_path / "run", learning_rate_schedule=schedule, epochs=3)


def test_fewer_epochs_are_refused(tmp_path):
    begun(tmp_path / "run")
    with pytest.raises(InputError, match=r"^A run must resume with the options .* with epochs=2 \(now 1\); use those"):
        found(tmp_path / "run", epochs=1)


def test_changed_options_are_refused_by_name(tmp_path):
    begun(tmp_path / "run")
    with pytest.raises(InputError) as error:
        found(tmp_path / "run", learning_rate=0.5, seed=3, epochs=3)

    assert str(error.value) == (
        f"A run must resume with the options it started with. Received: {tmp_path / 'run'} with seed=0 (now 3), "
        "learning_rate=0.001 (now 0.5); use those options, choose another run_dir, or add --overwrite"
    )


def test_changed_options_are_refused_before_anything_was_saved(tmp_path):
    begun(tmp_path / "run", steps=0)
    with pytest.raises(InputError, match=r"with seed=0 \(now 3\)"):
        found(tmp_path / "run", seed=3)


def test_data_at_another_place_and_another_device_are_no_change(tmp_path):
    begun(tmp_path / "run")

    assert found(tmp_path / "run", data_dir="/mnt", device="cpu", splits=splits_of(prefix="/mnt")).step == 7


@pytest.mark.parametrize(("before", "now", "warns"), [(True, False, True), (False, True, True), (True, True, False)])
def test_resuming_with_other_kernels_warns_about(tmp_path, monkeypatch, capsys, before, now, warns):
    monkeypatch.setattr(resume, "uses_onednn", lambda: before)
    begun(tmp_path / "run")
    monkeypatch.setattr(resume, "uses_onednn", lambda: now)
    assert found(tmp_path / "run").step == 7
    warning = f"was written with TF_ENABLE_ONEDNN_OPTS={int(before)}, and training resumes with {int(now)}: "
    assert (warning in capsys.readouterr().err) == warns


def test_one_image_more_is_refused(tmp_path):
    begun(tmp_path / "run")
    with pytest.raises(
        InputError, match=r"^A run must resume with the data .* with num_train=36 \(now 37\); restore the data"
    ):
        found(tmp_path / "run", splits=splits_of(37))


def flip_a_bit(splits):
    splits.test.pixels[7, 7, 7] ^= 1


def rename(splits):
    splits.train.names[3] = "/data/other.png"


def sort_otherwise(splits):
    splits.train.labels[0] = 2


@pytest.mark.parametrize(("change", "split"), [(rename, "train"), (flip_a_bit, "test"), (sort_otherwise, "train")])
def test_other_images_are_refused(tmp_path, change, split):
    begun(tmp_path / "run")
    others = splits_of()
    change(others)
    with pytest.raises(InputError, match=rf"^A run must resume with the data .* with {split}_crc32=\d+ \(now \d+\)"):
        found(tmp_path / "run", splits=others)


def test_of_data_that_is_read_as_it_is_needed_the_ends_and_what_lies_between_are_compared(tmp_path):
    read = []
    splits = splits_of(1000)
    splits.train.is_in_memory = False
    splits.train.read = lambda indices: read.extend(indices) or splits.train.pixels[indices]
    assert place_of(tmp_path, splits=splits).description["data"]["train_crc32"]

    assert (len(read), read[0], read[-1]) == (64, 0, 999)


def test_names_that_are_no_text_are_told_apart(tmp_path):
    names = [os.fsdecode(b"/data/\xff.png"), "/data/a\nb.png"]
    with_names = splits_of()._replace(train=Drawn(names))

    assert isinstance(place_of(tmp_path, splits=with_names).description["data"]["train_crc32"], int)


def test_names_of_windows_that_are_no_text_are_accepted(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "getfilesystemencodeerrors", lambda: "surrogatepass")
    with_names = splits_of()._replace(train=Drawn(["C:/data/\ud800.png", "C:/data/b.png"]))

    assert isinstance(place_of(tmp_path, splits=with_names).description["data"]["train_crc32"], int)


@pytest.mark.parametrize("steps", [2 * STEPS, 0])
def test_of_a_finished_run_nothing_is_left_to_do_also_without_its_checkpoints(tmp_path, steps):
    run = begun(tmp_path / "run", steps=steps, finished=True)
    with place_of(tmp_path / "run") as place:
        place.find(overwrite=False)
        assert place.is_finished

    assert run.is_finished


def test_a_finished_run_without_checkpoints_can_not_be_made_longer(tmp_path):
    begun(tmp_path / "run", steps=0, finished=True)
    with pytest.raises(
        InputError, match=r"Received: no checkpoint in .*checkpoints; choose another run_dir, or add --overwrite$"
    ):
        found(tmp_path / "run", epochs=3)


def test_a_run_that_trained_to_the_end_but_was_not_written_goes_on(tmp_path):
    begun(tmp_path / "run", steps=2 * STEPS)

    assert found(tmp_path / "run").step == 2 * STEPS


def test_a_run_that_was_never_saved_starts_again(tmp_path):
    run = begun(tmp_path / "run", steps=0)
    (run.path / "history.csv").touch()
    with place_of(tmp_path / "run") as place:
        checkpoint = place.find(overwrite=False)
        place.prepare(checkpoint)

    assert checkpoint is None
    assert not (run.path / "history.csv").exists()


def test_a_run_goes_on_from_elsewhere_where_its_folder_is_gone(tmp_path):
    begun(tmp_path / "run", checkpoint_dir=tmp_path / "drive")
    shutil.rmtree(tmp_path / "run")
    with place_of(tmp_path / "run", checkpoint_dir=tmp_path / "drive") as place:
        checkpoint = place.find(overwrite=False)
        run = place.prepare(checkpoint)

    assert (checkpoint.step, checkpoint.path.parent) == (7, tmp_path / "drive")
    assert run.read_config() == config_of()


def test_the_folder_of_another_run_is_not_taken_for_checkpoints_elsewhere(tmp_path):
    begun(tmp_path / "run", checkpoint_dir=tmp_path / "drive")
    other = begun(tmp_path / "other", steps=2 * STEPS, finished=True, seed=3)
    with pytest.raises(InputError, match=r"other with seed=3 \(now 0\)"):
        found(tmp_path / "other", checkpoint_dir=tmp_path / "drive")

    assert other.is_finished


def test_never_refuses_checkpoints(tmp_path):
    begun(tmp_path / "run", checkpoint_dir=tmp_path / "drive")
    with pytest.raises(InputError, match=r"^checkpoint_dir must be new or empty\. Received: .*drive with resume=never"):
        found(tmp_path / "new", checkpoint_dir=tmp_path / "drive", resume="never")


def test_never_refuses_a_run_that_was_not_saved(tmp_path):
    begun(tmp_path / "run", steps=0)
    with place_of(tmp_path / "run", resume="never") as place:
        checkpoint = place.find(overwrite=False)
        with pytest.raises(InputError, match=r"^run_dir must be new or empty"):
            place.prepare(checkpoint)


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("resume", ["auto", "never"])
def test_overwrite_begins_whatever_is_there_and_clears_the_checkpoints(tmp_path, elsewhere, resume):
    drive = tmp_path / "drive" if elsewhere else None
    begun(tmp_path / "run", checkpoint_dir=drive)
    with place_of(tmp_path / "run", checkpoint_dir=drive, seed=3, resume=resume) as place:
        checkpoint = place.find(overwrite=True)
        assert place.store.newest() is not None  # until it is sure that the run begins
        run = place.prepare(checkpoint)

        assert checkpoint is None
        assert place.store.newest() is None
        assert run.read_config().seed == 3


def test_overwrite_needs_no_undamaged_checkpoint(tmp_path):
    run = begun(tmp_path / "run")
    for path in (run.path / "checkpoints").glob("*/*"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"^A run needs a valid checkpoint"):
        found(tmp_path / "run")

    assert found(tmp_path / "run", overwrite=True) is None


HOLD = """
import sys
from pathlib import Path
from vae_tf.support.files import lock_folder
with lock_folder(Path(sys.argv[1])):
    print(1, flush=True)
    input()
"""


@contextlib.contextmanager
def held(folder):
    """Another process holds the folder meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout.readline() == b"1\n"
    try:
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", ["run", "drive"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_folders_that_another_process_holds_are_refused_until_it_is_killed(tmp_path, name, overwrite):
    begun(tmp_path / "run", checkpoint_dir=tmp_path / "drive")
    told = rf"^.*{name} is locked by another process"
    with held(tmp_path / name), pytest.raises(InputError, match=told):
        found(tmp_path / "run", checkpoint_dir=tmp_path / "drive", overwrite=overwrite)

    assert (found(tmp_path / "run", checkpoint_dir=tmp_path / "drive", overwrite=overwrite) is None) == overwrite


def test_a_folder_is_held_until_the_run_ends(tmp_path):
    with place_of(tmp_path / "run") as place:
        place.prepare(place.find(overwrite=False))
        with pytest.raises(InputError, match=r"is locked by another process"), lock_folder(tmp_path / "run"):
            pass
    with lock_folder(tmp_path / "run"):
        pass


# That it does


@pytest.fixture(scope="module")
def npz(tmp_path_factory):
    """40 training images, 36 of them to train on, and 8 test images."""
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (48, 8, 8), dtype=np.uint8)
    labels = np.arange(48) % 3
    np.savez(path, x_train=pixels[:40], x_test=pixels[40:], y_train=labels[:40], y_test=labels[40:])
    return path


def run(npz, run_dir, *, overwrite=False, saving=None, **changes):
    config = RunConfig(**{**SMALL, "data_dir": str(npz), **changes})
    return run_training(config, run_dir, checkpoints=CheckpointConfig(**(saving or {})), overwrite=overwrite)


class Killed(BaseException):
    """What no one catches."""


@contextlib.contextmanager
def stopped(step, *, by):
    """A run ends after a step: by a signal, or by a blow, right before or in the middle of what follows the step."""

    class Stopped(CheckpointWriter):
        def on_train_batch_end(self, batch, logs=None):
            is_it = self._epoch * STEPS + batch + 1 == step
            if is_it and by == "signal":
                self._signal_handler._number = signal.SIGTERM
            if is_it and by == "blow":
                raise Killed
            super().on_train_batch_end(batch, logs)

        def on_epoch_end(self, epoch, logs=None):
            if (epoch + 1) * STEPS == step and by == "blow-after-epoch":
                raise Killed

    ended = pytest.raises((Killed, Interrupted))
    with pytest.MonkeyPatch.context() as patched, ended as error:
        patched.setattr(trainer, "CheckpointWriter", Stopped)
        patched.setattr(loop, "SECONDS_PER_CALL", 0)
        yield error


def check_same(run, expected):
    rows = [
        [{name: value for name, value in row.items() if name not in CLOCK} for row in one.read_history()]
        for one in (run, expected)
    ]
    assert rows[0] == rows[1]
    weights = (one.load_model().get_weights() for one in (run, expected))
    for value, wanted in zip(*weights, strict=True):
        np.testing.assert_array_equal(value, wanted)


@pytest.mark.parametrize(
    ("options", "stop"),
    [
        pytest.param(
            {"arch": "conv", "hidden_sizes": None, "precision": "mixed_bfloat16", "micro_batch_size": 3},
            {"step": 8, "by": "blow"},
            id="conv-bfloat16-micro-batches-killed",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "ema": 0.9,
                "flip": True,
                "binarize": "dynamic",
                "corrupt": "mask:0.5",
                "learning_rate_schedule": "cosine",
            },
            {"step": 6, "by": "signal"},
            id="ema-flips-noise-schedule-signal",
        ),
        pytest.param(
            {"conditional": True, "clip_norm": 0.5, "precision": "mixed_float16", "val_fraction": 0.1},
            {"step": 5, "by": "blow-after-epoch"},
            id="conditional-float16-killed-after-an-epoch",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(npz, tmp_path, options, stop):
    saving = {"checkpoint_steps": 3}
    with stopped(**stop):
        run(npz, tmp_path / "run", saving=saving, **options)
    assert not (tmp_path / "run" / "model.keras").exists()

    check_same(
        run(npz, tmp_path / "run", saving=saving, **options),
        run(npz, tmp_path / "whole", **options),
    )


@pytest.mark.slow
def test_a_run_with_callbacks_resumes_with_what_they_remember(npz, tmp_path):
    def train(folder):
        plateau = keras.callbacks.ReduceLROnPlateau("loss", min_delta=1e6, patience=2, factor=0.5)
        config = RunConfig(**{**SMALL, "data_dir": str(npz), "epochs": 4})
        return run_training(config, tmp_path / folder, callbacks=[plateau])

    with stopped(2 * STEPS + 1, by="signal"):
        train("run")
    resumed, whole = train("run"), train("whole")
    assert float(resumed.load_model().optimizer.learning_rate) == pytest.approx(1e-3 / 2)
    check_same(resumed, whole)


@pytest.fixture(scope="module")
def whole(npz, tmp_path_factory):
    """A run of two epochs."""
    return run(npz, tmp_path_factory.mktemp("whole") / "run", ema=0.9)


@pytest.fixture(scope="module")
def unfinished(npz, tmp_path_factory):
    """The folder that holds the one of a run, stopped by a signal at step 8, and that of its checkpoints."""
    folder = tmp_path_factory.mktemp("unfinished")
    with stopped(8, by="signal") as ended:
        run(npz, folder / "run", ema=0.9, saving={"checkpoint_dir": str(folder / "drive")})
    assert str(ended.value) == (
        f"stopped by SIGTERM; 8 of 10 steps are saved in {folder / 'drive'}; "
        "rerun the command with the same run_dir to resume from there"
    )
    assert ended.value.status == 143
    return folder


@pytest.fixture
def saved(unfinished, tmp_path):
    shutil.copytree(unfinished, tmp_path, dirs_exist_ok=True)
    return {"checkpoint_dir": str(tmp_path / "drive")}


def test_an_unfinished_run_has_its_history_so_far_and_no_model(unfinished):
    left = RunDir(unfinished / "run")
    assert len(left.read_history()) == 1
    assert not left.is_finished


@pytest.mark.slow
def test_a_run_goes_on_elsewhere_with_data_that_has_moved(npz, whole, saved, tmp_path, capsys):
    shutil.rmtree(tmp_path / "run")
    moved = shutil.copy(npz, tmp_path / "moved.npz")
    again = run(moved, tmp_path / "run", ema=0.9, saving=saved)

    check_same(again, whole)
    assert f"Resumed after step 8 of 10, from {tmp_path / 'drive' / 'step_0000000008'}\n" in capsys.readouterr().out
    assert again.read_config().data_dir == str(moved)


@pytest.mark.slow
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(npz, whole, saved, tmp_path, capsys):
    os.truncate(tmp_path / "drive" / "step_0000000008" / "variables.index", 10)
    check_same(run(npz, tmp_path / "run", ema=0.9, saving=saved), whole)

    assert "step_0000000008 is damaged (variables.index is truncated or changed)" in capsys.readouterr().err


def test_more_epochs_give_what_they_would_have_given_at_once(npz, whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "run")
    longer = run(npz, tmp_path / "run", ema=0.9, epochs=3)

    check_same(longer, run(npz, tmp_path / "at-once", ema=0.9, epochs=3))
    assert longer.read_config().epochs == 3


@pytest.mark.slow
def test_overwrite_starts_again(npz, whole, saved, tmp_path):
    again = run(npz, tmp_path / "run", ema=0.9, saving=saved, overwrite=True)

    check_same(again, whole)
    assert sorted(path.name for path in (tmp_path / "drive").glob("step_*")) == ["step_0000000005", "step_0000000010"]


@pytest.mark.slow
def test_a_run_that_was_killed_before_it_was_saved_starts_again(npz, whole, tmp_path):
    with stopped(3, by="blow"):
        run(npz, tmp_path / "run", ema=0.9)
    assert CheckpointStore(tmp_path / "run" / "checkpoints").newest() is None

    check_same(run(npz, tmp_path / "run", ema=0.9), whole)


@pytest.fixture
def poison(monkeypatch):
    """Makes the batches of some steps, counted from where training resumes, all NaN."""

    def of_steps(*steps):
        def poisoned(number, batch):
            is_bad = tf.reduce_any(number == tf.constant(steps, tf.int64))
            return tf.where(is_bad, np.nan, batch)

        real = trainer.pipeline.training_batches
        monkeypatch.setattr(trainer.pipeline, "training_batches", lambda *args: real(*args).enumerate(1).map(poisoned))

    return of_steps


def test_a_run_with_a_poisoned_batch_ends_with_a_finite_model(npz, poison, tmp_path, capsys):
    poison(3, 7, 10)
    weights = run(npz, tmp_path / "run").load_model().get_weights()

    assert all(np.isfinite(values).all() for values in weights)
    assert capsys.readouterr().err.splitlines() == [
        "warning: epoch 1: skipped 1 update because the loss or a gradient was not finite",
        "warning: epoch 2: skipped 2 updates because the loss or a gradient was not finite",
    ]


def test_a_run_that_diverges_keeps_its_last_good_checkpoint_and_writes_no_model(npz, poison, tmp_path):
    poison(*range(7, 20))
    with pytest.raises(InputError, match=r"^Training diverged in epoch 3: .* for 5 consecutive steps, up to step 11\."):
        run(npz, tmp_path / "run", epochs=3)

    assert CheckpointStore(tmp_path / "run" / "checkpoints").newest().step == 5
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.slow
def test_a_run_that_goes_on_rolls_back_to_where_it_began(npz, tmp_path, poison, capsys):
    options = {"on_nan": "rollback", "epochs": 3}
    with stopped(7, by="signal"):
        run(npz, tmp_path / "run", **options)
    poison(1, 2, 3, 4, 5)
    ended = run(npz, tmp_path / "run", **options)

    warnings = capsys.readouterr().err
    assert "warning: training diverged at step 12; continuing with the weights of step 7\n" in warnings
    assert len(ended.read_history()) == 3
