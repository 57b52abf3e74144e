"""Samples in the middle of a long first epoch."""

import keras
import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.runs.new_run import create_run_dir
from vae_tf.training.early_samples import EarlySamples, batch_statistics

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).random((24, *SHAPE), np.float32)


def new_model(**options):
    keras.utils.set_random_seed(0)
    model = vae_tf.build_vae(SHAPE, latent_dim=2, **{"arch": "dense", "hidden_sizes": (6,), **options})
    model.compile(keras.optimizers.Adam(), jit_compile=False)
    return model


@pytest.fixture
def run(tmp_path):
    return create_run_dir(tmp_path / "run", overwrite=False)


def drawn_after(run, seconds_per_step, model=None, epochs=1):
    """Trains for a few steps of a pretended length, and returns the names of the samples that are drawn."""
    times = iter(np.arange(1000) * seconds_per_step)
    early = EarlySamples(run, RunConfig(), lambda: IMAGES, clock=lambda: float(next(times)))
    (model or new_model()).fit(IMAGES, batch_size=8, epochs=epochs, shuffle=False, callbacks=[early], verbose=0)
    return sorted(path.name for path in (run.path / "samples").glob("*"))


@pytest.mark.parametrize(
    ("seconds_per_step", "expected"),
    [
        pytest.param(70, ["epoch_0000.png"], marks=pytest.mark.slow),
        (30, ["epoch_0000.png"]),
        (25, []),
        pytest.param(1, [], marks=pytest.mark.slow),
    ],  # the third step ends the epoch
)
def test_samples_are_drawn_after_a_minute_if_the_epoch_is_longer(run, seconds_per_step, expected, capsys):
    assert drawn_after(run, seconds_per_step, epochs=2) == expected
    assert capsys.readouterr().out.count("Samples after") == len(expected)


def test_it_is_said_which_statistics_normalize_them(run, capsys):
    drawn_after(run, 70)
    assert capsys.readouterr().out == (
        f"Samples after 70 s: {run.path}/samples/epoch_0000.png "
        "(batch normalization uses the statistics of one training batch)\n"
    )


def test_drawing_does_not_change_what_training_computes(run):
    weights = []
    for seconds_per_step in (1, 70):
        model = new_model()
        drawn_after(run, seconds_per_step, model)
        weights.append(model.get_weights())
    for without, with_samples in zip(*weights, strict=True):
        np.testing.assert_array_equal(without, with_samples)


OPTIONS = [{"arch": "dense", "hidden_sizes": (6,)}, {"arch": "conv"}, {"arch": "dense", "num_classes": 3}]


@pytest.mark.parametrize("options", OPTIONS)
def test_moving_averages_are_those_of_the_batch_inside_and_as_before_outside(options):
    model = vae_tf.build_vae(SHAPE, latent_dim=2, **options)
    labels = None if model.num_classes is None else np.arange(24) % 3
    examples = model.unpack_batch(IMAGES if labels is None else ((IMAGES, labels),))
    first = next(layer for layer in model.encoder.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = [weight.copy() for weight in first.get_weights()]
    features = keras.Model(model.encoder.inputs, first.input)
    inputs = model.latents._network_input(examples.inputs, examples.labels)
    expected = np.asarray(features(inputs if isinstance(inputs, list) else [inputs]))
    axes = tuple(range(expected.ndim - 1))
    with batch_statistics(model, examples, seed=0):
        np.testing.assert_allclose(first.moving_mean, expected.mean(axes), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(first.moving_variance, expected.var(axes), rtol=1e-3, atol=1e-6)
    for weight, value in zip(first.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert first.momentum == 0.99
