"""What a model makes, as figures of images and of points."""

import keras
import numpy as np
import pytest
from matplotlib import colormaps

import vae_tf
from vae_tf import plots
from vae_tf.data.modality import get_modality
from vae_tf.plots import figures

SHAPE = (8, 8, 1)
GAP = plots.images.GAP
OF_IMAGES, OF_POINTS = (get_modality(shape).figures for shape in (SHAPE, (2,)))


def model(shape=SHAPE, **options):
    keras.utils.set_random_seed(0)
    return vae_tf.build_vae(shape, 2, "dense", "plain", hidden_sizes=(6,), **options)


@pytest.fixture(scope="module")
def vae():
    """A model of images."""
    return model()


@pytest.fixture(scope="module")
def vae_of_points():
    return model((2,), likelihood="gaussian")


def random_images(n, seed=0):
    return np.random.default_rng(seed).random((n, *SHAPE)).astype("float32")


def random_points(n, scale=1.0):
    return (scale * np.random.default_rng(0).normal(size=(n, 2))).astype("float32")


def canvas(figure):
    """The images of a figure, unzoomed and without the gaps: float (rows * 8, columns * 8)."""
    (axes,) = figure.axes
    grid = np.asarray(axes.images[0].get_array()).squeeze()[::9, ::9]
    rows, columns = ((side + GAP) // (8 + GAP) for side in grid.shape)
    parts = [[grid[r * (8 + GAP) :, c * (8 + GAP) :][:8, :8] for c in range(columns)] for r in range(rows)]
    return np.block(parts)


def in_rows(images, columns):
    rows = [np.concatenate(images[i : i + columns, ..., 0], axis=1) for i in range(0, len(images), columns)]
    return np.clip(np.concatenate(rows), 0, 1)


def test_an_epoch_of_images_has_a_grid_of_samples(vae):
    drawn = OF_IMAGES.epoch_figures(vae, vae.unpack_batch(random_images(2)), None, 3, ", epoch 7")["samples"]
    np.testing.assert_allclose(canvas(drawn), in_rows(vae.sample(64, 3), 8), atol=1e-6)
    assert [text.get_text() for text in drawn.texts] == ["Prior samples, epoch 7"]


@pytest.mark.parametrize(("num_classes", "rows"), [(3, 3), (20, figures.MAX_CLASSES)])
def test_an_epoch_of_a_conditional_model_has_a_row_of_samples_for_each_of_the_first_classes(num_classes, rows):
    conditional = model(num_classes=num_classes)
    seen = conditional.unpack_batch(((random_images(2), np.array([0, 1])),))
    drawn = OF_IMAGES.epoch_figures(conditional, seen, None, 3, "")["samples"]
    classes = np.repeat(np.arange(rows), 8)
    np.testing.assert_allclose(canvas(drawn), in_rows(conditional.sample(8 * rows, 3, classes), 8), atol=1e-6)
    assert [text.get_text().strip() for text in drawn.texts[1:]] == [str(label) for label in range(rows)]


def test_originals_are_above_their_reconstructions(vae):
    x = random_images(4)
    drawn = OF_IMAGES.epoch_figures(vae, vae.unpack_batch(x), None, 3, "")["reconstructions"]
    np.testing.assert_allclose(canvas(drawn), in_rows(np.concatenate([x, vae.reconstruct(x)]), 4), atol=1e-6)


def test_what_was_corrupted_is_above_what_was_restored_and_the_original(vae):
    x, noisy = random_images(4), random_images(4, seed=1)
    drawn = OF_IMAGES.epoch_figures(vae, vae.unpack_batch((noisy, x)), None, 3, "")["reconstructions"]
    expected = in_rows(np.concatenate([noisy, vae.reconstruct(noisy), x]), 4)
    np.testing.assert_allclose(canvas(drawn), expected, atol=1e-6)


def test_fewer_samples_than_columns_are_one_row():
    x = random_images(5)
    drawn = OF_IMAGES.samples(x, None, "Samples of the gmm sampler")
    np.testing.assert_allclose(canvas(drawn), in_rows(x, 5), atol=1e-6)
    assert drawn.texts[0].get_text() == "Samples of the gmm sampler"


def test_samples_of_named_classes_are_a_row_each():
    x = random_images(6)
    drawn = OF_IMAGES.samples_by_class(x, np.repeat([0, 1], 3), ("cat", "dog"), "Prior samples")
    np.testing.assert_allclose(canvas(drawn), in_rows(x, 3), atol=1e-6)
    assert [text.get_text().strip() for text in drawn.texts[1:]] == ["cat", "dog"]


def test_interpolations_of_images_are_a_row_each():
    paths = random_images(6).reshape(2, 3, *SHAPE)
    np.testing.assert_allclose(canvas(OF_IMAGES.interpolations(paths)), in_rows(random_images(6), 3), atol=1e-6)


def offsets(axes):
    return np.asarray(axes.collections[0].get_offsets())


def colours(axes):
    return axes.collections[0].get_facecolors()[:, :3]


def test_an_epoch_of_points_has_data_reconstructions_samples_and_latents(vae_of_points):
    vae, rows, classes = vae_of_points, random_points(30), np.arange(30) % 2
    drawn = OF_POINTS.epoch_figures(vae, vae.unpack_batch(rows), classes, 5, ", epoch 7")
    assert set(drawn) == {"samples"}
    axes = drawn["samples"].axes
    titles = ["Data, epoch 7", "Reconstructions", "Prior samples", "Latent space"]
    assert [part.get_title() for part in axes] == titles
    expected = [rows, vae.reconstruct(rows), vae.sample(30, 5, mean=False), vae.encode(rows)]
    for part, points in zip(axes, expected, strict=True):
        np.testing.assert_allclose(offsets(part), points, rtol=1e-5)
    assert [len(np.unique(colours(part), axis=0)) for part in axes] == [2, 2, 1, 2]


def test_samples_of_a_conditional_model_of_points_have_the_colours_of_their_classes():
    vae = model((2,), likelihood="gaussian", num_classes=3)
    rows, classes = random_points(30), np.arange(30) % 3
    axes = OF_POINTS.epoch_figures(vae, vae.unpack_batch(((rows, classes),)), classes, 5, "")["samples"].axes
    assert len(np.unique(colours(axes[2]), axis=0)) == 3


def test_data_reconstructions_and_samples_share_their_limits(vae_of_points):
    seen = vae_of_points.unpack_batch(random_points(30, scale=100))
    axes = OF_POINTS.epoch_figures(vae_of_points, seen, None, 5, "")["samples"].axes
    assert axes[0].get_xlim() == axes[1].get_xlim() == axes[2].get_xlim() != axes[3].get_xlim()


def test_samples_of_points_are_coloured_by_class():
    points, classes = random_points(4), np.array([0, 1, 1, 0])
    for drawn in (
        OF_POINTS.samples(points, classes, "Prior samples"),
        OF_POINTS.samples_by_class(points, classes, ("a", "b"), "Prior samples"),
    ):
        (axes,) = drawn.axes
        np.testing.assert_array_equal(offsets(axes), points)
        np.testing.assert_allclose(colours(axes), [colormaps["tab10"](label)[:3] for label in classes])


def test_each_interpolation_of_points_has_a_colour_of_its_own():
    paths = random_points(6).reshape(2, 3, 2)
    (axes,) = OF_POINTS.interpolations(paths).axes
    np.testing.assert_array_equal(offsets(axes), random_points(6))
    np.testing.assert_allclose(colours(axes), [colormaps["tab10"](path)[:3] for path in (0, 0, 0, 1, 1, 1)])


def test_rows_of_points_are_next_to_each_other_under_their_labels():
    rows = {"originals": random_points(4), "run": 2 * random_points(4)}
    for drawn in (OF_POINTS.side_by_side(rows, 8), OF_POINTS.rows_with_headings(rows)):
        assert [axes.get_title() for axes in drawn.axes] == list(rows)
        for axes, points in zip(drawn.axes, rows.values(), strict=True):
            np.testing.assert_array_equal(offsets(axes), points)
