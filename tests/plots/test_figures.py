"""What a model makes, as figures."""

import keras
import numpy as np
import pytest

import vae_tf
from vae_tf import plots
from vae_tf.plots import drawing

SHAPE = (8, 8, 1)
GAP = plots.images.GAP


def model(shape=SHAPE, **options):
    keras.utils.set_random_seed(0)
    return vae_tf.build_vae(shape, 2, "dense", "plain", hidden_sizes=(6,), **options)


def pictures(n, seed=0):
    return np.random.default_rng(seed).random((n, *SHAPE)).astype("float32")


def canvas(figure):
    """The pictures of a figure, unzoomed and without the gaps: float (rows * 8, columns * 8)."""
    (axes,) = figure.axes
    grid = np.asarray(axes.images[0].get_array()).squeeze()[::9, ::9]
    rows, columns = ((side + GAP) // (8 + GAP) for side in grid.shape)
    parts = [[grid[r * (8 + GAP) :, c * (8 + GAP) :][:8, :8] for c in range(columns)] for r in range(rows)]
    return np.block(parts)


def in_rows(images, columns):
    rows = [np.concatenate(images[i : i + columns, ..., 0], axis=1) for i in range(0, len(images), columns)]
    return np.clip(np.concatenate(rows), 0, 1)


def test_samples_are_a_grid():
    vae = model()
    expected = in_rows(vae.sample(drawing.SAMPLES, 3), drawing.COLUMNS)
    np.testing.assert_allclose(canvas(drawing.sample_figure(vae, 3, "")), expected, atol=1e-6)


@pytest.mark.parametrize(("num_classes", "rows"), [(3, 3), (20, drawing.MOST_CLASSES)])
def test_samples_of_a_conditional_model_are_a_row_for_each_of_the_first_classes(num_classes, rows):
    vae = model(num_classes=num_classes)
    classes = np.repeat(np.arange(rows), drawing.COLUMNS)
    expected = in_rows(vae.sample(len(classes), 3, classes), drawing.COLUMNS)
    np.testing.assert_allclose(canvas(drawing.sample_figure(vae, 3, "")), expected, atol=1e-6)


def test_originals_stand_above_their_reconstructions():
    vae, x = model(), pictures(4)
    expected = in_rows(np.concatenate([x, vae.reconstruct(x)]), 4)
    np.testing.assert_allclose(canvas(drawing.reconstruction_figure(vae, vae.observed(x))), expected, atol=1e-6)


def test_what_was_corrupted_stands_above_what_was_restored_and_the_original():
    vae, x, noisy = model(), pictures(4), pictures(4, seed=1)
    expected = in_rows(np.concatenate([noisy, vae.reconstruct(noisy), x]), 4)
    figure = drawing.reconstruction_figure(vae, vae.observed((noisy, x)))
    np.testing.assert_allclose(canvas(figure), expected, atol=1e-6)


def offsets(axes):
    return np.asarray(axes.collections[0].get_offsets())


def test_rows_are_data_reconstructions_samples_and_latents():
    vae = model((2,), likelihood="gaussian")
    rows, classes = np.random.default_rng(0).normal(size=(30, 2)).astype("float32"), np.arange(30) % 2
    figure = drawing.overview_figure(vae, vae.observed(rows), classes, 5, "")
    expected = [rows, vae.reconstruct(rows), vae.sample(30, 5, mean=False), vae.encode(rows)]
    assert [axes.get_title() for axes in figure.axes] == ["Data", "Reconstructions", "Prior samples", "Latent space"]
    for axes, points in zip(figure.axes, expected, strict=True):
        np.testing.assert_allclose(offsets(axes), points, rtol=1e-5)
    colours = [len(np.unique(axes.collections[0].get_facecolors(), axis=0)) for axes in figure.axes]
    assert colours == [2, 2, 1, 2]


def test_samples_of_a_conditional_model_of_rows_have_the_colours_of_their_classes():
    vae = model((2,), likelihood="gaussian", num_classes=3)
    rows, classes = np.random.default_rng(0).normal(size=(30, 2)).astype("float32"), np.arange(30) % 3
    figure = drawing.overview_figure(vae, vae.observed(((rows, classes),)), classes, 5, "")
    assert len(np.unique(figure.axes[2].collections[0].get_facecolors(), axis=0)) == 3


def test_data_reconstructions_and_samples_share_their_limits():
    vae = model((2,), likelihood="gaussian")
    rows = 100 * np.random.default_rng(0).normal(size=(30, 2)).astype("float32")
    axes = drawing.overview_figure(vae, vae.observed(rows), None, 5, "").axes
    assert axes[0].get_xlim() == axes[1].get_xlim() == axes[2].get_xlim() != axes[3].get_xlim()
