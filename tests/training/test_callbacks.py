"""What happens while fit runs."""

import csv
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.plots.figures import ImageFigures
from vae_tf.runs.new_run import create_run_dir
from vae_tf.training.callbacks import EpochFigures, HistoryWriter

pytestmark = pytest.mark.usefixtures("rendered_figures")

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).random((24, *SHAPE), np.float32)
TITLE_PIXELS = 40
END_OF_TEXT = "\x03"


def new_model():
    keras.utils.set_random_seed(0)
    model = vae_tf.build_vae(SHAPE, latent_dim=2, arch="dense", hidden_sizes=(6,))
    model.compile(keras.optimizers.Adam(), jit_compile=False)
    return model


@pytest.fixture
def run(tmp_path):
    return create_run_dir(tmp_path / "run", overwrite=False)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run of three epochs with validation: its folder, its History callback, and what fit returned.

    `on_disk` has the number of rows in the file after each epoch.
    """
    run, on_disk = create_run_dir(tmp_path_factory.mktemp("fitted"), overwrite=False), []
    history = HistoryWriter(run, len(IMAGES))
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: on_disk.append(len(run.read_history())))
    returned = new_model().fit(
        IMAGES, batch_size=10, epochs=3, validation_data=(IMAGES[:8],), callbacks=[history, look], verbose=0
    )
    return SimpleNamespace(run=run, history=history, returned=returned, on_disk=on_disk)


def test_history_numbers_are_those_of_fit(fitted):
    assert len(fitted.history.rows) == 3
    for name in ("loss", "reconstruction_loss", "kl_loss", "val_loss", "val_reconstruction_loss", "val_kl_loss"):
        assert [row[name] for row in fitted.history.rows] == pytest.approx(fitted.returned.history[name], rel=1e-12)


def test_history_file_holds_the_rows(fitted):
    assert fitted.run.read_history() == fitted.history.rows


def columns(history, run, logs):
    """The header of the file after an epoch with these logs."""
    history.on_epoch_begin(0)
    history.on_train_batch_end(0)
    history.on_epoch_end(0, logs)
    with (run.path / "history.csv").open() as file:
        return next(csv.reader(file))


def test_history_columns_are_in_order_though_keras_sorts_the_logs_by_name(run):
    losses = ["loss", "reconstruction_loss", "kl_loss"]
    names = [*losses, "kl_weight", *(f"val_{name}" for name in losses)]
    logs = dict.fromkeys(sorted(names), 1.0)
    assert columns(HistoryWriter(run, 10), run, logs) == ["epoch", *names, "seconds", "images_per_second"]


def test_history_of_several_stages_has_their_names(run):
    history = HistoryWriter(run, 10)
    history.stage = "vae"
    assert columns(history, run, {"loss": 1.0}) == ["stage", "epoch", "loss", "seconds", "images_per_second"]
    assert run.read_history()[0]["stage"] == "vae"


def test_history_counts_epochs_from_one(fitted):
    assert [row["epoch"] for row in fitted.history.rows] == [1, 2, 3]


def test_history_speed_is_images_by_seconds(fitted):
    for row in fitted.history.rows:
        assert row["seconds"] > 0
        rounding = 0.0005 / row["seconds"] + 0.05 / row["images_per_second"]
        assert row["images_per_second"] * row["seconds"] == pytest.approx(len(IMAGES), rel=1.5 * rounding)


def test_history_is_on_disk_after_each_epoch(fitted):
    assert fitted.on_disk == [1, 2, 3]


def draw(run, model, config, epochs):
    images = EpochFigures(run, config, lambda: (IMAGES[:4], None))
    images.set_model(model)
    for epoch in epochs:
        images.on_epoch_end(epoch)
    return images


@pytest.mark.parametrize(
    ("every", "epochs", "expected"), [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (2, 4, [2, 4]), (9, 3, [3])]
)
def test_figures_are_drawn_at_their_epochs_and_at_the_end(run, monkeypatch, every, epochs, expected):
    drawn = {"samples": Figure(), "reconstructions": Figure()}
    monkeypatch.setattr(ImageFigures, "epoch_figures", lambda *args: drawn)
    draw(run, new_model(), RunConfig(sample_every=every, epochs=epochs), range(epochs))
    for folder in ("samples", "reconstructions"):
        names = sorted(path.name for path in (run.path / folder).iterdir())
        assert names == [f"epoch_{epoch:04d}.png" for epoch in expected]


def test_figures_are_of_averaged_weights(run, monkeypatch):
    model, kernels, figures = new_model(), [], ImageFigures.epoch_figures

    def watched(self, model, *args):
        kernels.append(model.decoder.get_weights()[0])
        return figures(self, model, *args)

    monkeypatch.setattr(ImageFigures, "epoch_figures", watched)
    model.compile(keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.5), jit_compile=False)
    trained = []
    for _ in range(2):
        model.train_on_batch(IMAGES)
        trained.append(model.decoder.get_weights()[0])
    draw(run, model, RunConfig(epochs=1), [0])

    np.testing.assert_allclose(kernels[0], (trained[0] + trained[1]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(model.decoder.get_weights()[0], trained[1])


def below_title(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))[TITLE_PIXELS:]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run of seed 0 whose model was drawn after two epochs alike and after a third with other weights."""
    run, model = create_run_dir(tmp_path_factory.mktemp("drawn"), overwrite=False), new_model()
    config = RunConfig(epochs=2)
    images = draw(run, model, config, range(2))
    model.set_weights([weight + 0.1 for weight in model.get_weights()])
    draw(run, model, config, [2])
    return SimpleNamespace(path=run.path, last=images.paths)


def test_the_last_files_are_named(drawn):
    assert drawn.last["Samples"] == drawn.path / "samples" / "epoch_0002.png"
    assert drawn.last["Reconstructions"] == drawn.path / "reconstructions" / "epoch_0002.png"


@pytest.mark.parametrize("folder", ["samples", "reconstructions"])
def test_figures_change_with_the_weights_alone(drawn, folder):
    first, same, other = (below_title(drawn.path / folder / f"epoch_000{epoch}.png") for epoch in (1, 2, 3))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_seed_of_the_run_chooses_the_latents_of_the_samples(run, drawn):
    other = draw(run, new_model(), RunConfig(epochs=1, seed=1), [0]).paths
    samples, reconstructions = (
        [below_title(paths[what]) for paths in (drawn.last, other)] for what in ("Samples", "Reconstructions")
    )
    assert (samples[0] != samples[1]).any()
    np.testing.assert_array_equal(*reconstructions)


def test_drawing_does_not_change_what_training_computes(run):
    histories = []
    for callbacks in ([], [EpochFigures(run, RunConfig(epochs=2), lambda: (IMAGES[:4], None))]):
        histories.append(new_model().fit(IMAGES, epochs=2, shuffle=False, callbacks=callbacks, verbose=0).history)
    assert histories[0] == histories[1]
