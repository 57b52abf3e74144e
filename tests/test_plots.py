"""Figures, read back as pixels."""

import io
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vae_tf import plots

pytestmark = pytest.mark.usefixtures("rendered_figures")

SHAPES = [(8, 8, 1), (8, 8, 3), (9, 13, 1), (28, 28, 1), (31, 17, 3), (50, 50, 1), (100, 90, 3)]


def pixels(figure: Figure) -> np.ndarray:
    """The figure as the PNG file has it, `(H, W, 3)`."""
    file = io.BytesIO()
    plots.save(figure, file)
    return np.asarray(Image.open(file).convert("RGB"))


def unzoomed(figure: Figure, canvas_shape: tuple[int, int]) -> np.ndarray:
    """What lies below the title at one pixel per pixel of the images; fails where zooming was not exact."""
    drawn = pixels(figure)
    zoom, rest = divmod(drawn.shape[1], canvas_shape[1])
    assert zoom >= 1
    assert rest == 0
    below_title = drawn[drawn.shape[0] - canvas_shape[0] * zoom :]
    blocks = below_title.reshape(canvas_shape[0], zoom, canvas_shape[1], zoom, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    return blocks[:, 0, :, 0]


def canvas_shape(count: int, columns: int, shape: tuple[int, int, int]) -> tuple[int, int]:
    rows, gap = math.ceil(count / columns), plots.images.GAP
    return rows * (shape[0] + gap) - gap, columns * (shape[1] + gap) - gap


def tile(canvas: np.ndarray, row: int, column: int, shape: tuple[int, int, int]) -> np.ndarray:
    top, left = row * (shape[0] + plots.images.GAP), column * (shape[1] + plots.images.GAP)
    return canvas[top : top + shape[0], left : left + shape[1]]


def random_images(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Images of whole 8-bit values in [0, 1]."""
    return np.random.default_rng(0).integers(0, 256, (count, *shape)).astype(np.float32) / 255


@pytest.mark.parametrize("shape", SHAPES)
def test_grid_shows_every_pixel_of_every_image(shape):
    images = random_images(5, shape)
    canvas = unzoomed(plots.image_grid(images, 3, "title"), canvas_shape(5, 3, shape))
    for index, image in enumerate(images):
        expected = np.broadcast_to(np.rint(image * 255), (*shape[:2], 3))
        np.testing.assert_allclose(tile(canvas, index // 3, index % 3, shape), expected, atol=1)


def test_grid_is_white_between_images_and_where_the_last_row_ends():
    shape = (8, 8, 1)
    canvas = unzoomed(plots.image_grid(np.zeros((5, *shape)), 3, "title"), canvas_shape(5, 3, shape))
    black = (canvas == 0).all(-1)
    assert black.sum() == 5 * 8 * 8
    assert (canvas[~black] == 255).all()
    assert (tile(canvas, 1, 2, shape) == 255).all()


def test_constant_grey_image_is_not_stretched_to_black_or_white():
    canvas = unzoomed(plots.image_grid(np.full((1, 8, 8, 1), 0.5), 1, "title"), (8, 8))
    assert np.unique(canvas).tolist() in ([127], [128])


@pytest.mark.parametrize("channels", [1, 3])
def test_values_outside_the_range_are_clipped(channels):
    images = np.stack([np.full((8, 8, channels), value, np.float32) for value in (-3.0, 7.0)])
    canvas = unzoomed(plots.image_grid(images, 2, "title"), canvas_shape(2, 2, (8, 8, channels)))
    assert (tile(canvas, 0, 0, (8, 8, channels)) == 0).all()
    assert (tile(canvas, 0, 1, (8, 8, channels)) == 255).all()


def test_colours_keep_their_channels():
    canvas = unzoomed(plots.image_grid(np.tile([1.0, 0.5, 0.0], (1, 8, 8, 1)), 1, "title"), (8, 8))
    np.testing.assert_allclose(canvas.reshape(-1, 3), np.tile([255, 127.5, 0], (64, 1)), atol=1)


def test_one_image_makes_a_grid_of_one():
    image = random_images(1, (12, 10, 1))
    canvas = unzoomed(plots.image_grid(image, 1, "title"), (12, 10))
    np.testing.assert_allclose(canvas[..., 0], image[0, ..., 0] * 255, atol=1)


def test_small_images_are_enlarged_and_large_ones_keep_their_pixels():
    assert pixels(plots.image_grid(np.zeros((1, 8, 8, 1)), 1, "")).shape[1] > 8
    assert pixels(plots.image_grid(np.zeros((1, 300, 300, 1)), 1, "")).shape[1] == 300


def test_title_is_above_the_images():
    titled, untitled = (pixels(plots.image_grid(np.zeros((4, 28, 28, 1)), 4, title)) for title in ("title", ""))
    rows = np.flatnonzero((titled != untitled).any((1, 2)))
    assert rows.size
    assert rows.max() < titled.shape[0] - canvas_shape(4, 4, (28, 28, 1))[0]


def test_title_of_a_narrow_grid_is_not_cut_off():
    figure = plots.image_grid(np.zeros((1, 8, 8, 1)), 1, "Prior samples, epoch 10")
    canvas = FigureCanvasAgg(figure)
    extent = figure.texts[0].get_window_extent(canvas.get_renderer())
    assert extent.x0 >= 0
    assert extent.x1 <= canvas.get_width_height()[0]


def test_originals_are_above_their_reconstructions():
    shape = (8, 8, 1)
    originals, reconstructions = np.split(random_images(6, shape), 2)
    canvas = unzoomed(plots.reconstruction_grid(originals, reconstructions, "title"), canvas_shape(6, 3, shape))
    for column in range(3):
        for row, images in enumerate((originals, reconstructions)):
            np.testing.assert_allclose(tile(canvas, row, column, shape)[..., 0], images[column, ..., 0] * 255, atol=1)


def history(epochs: int, *, validation: bool) -> list[dict[str, float]]:
    columns = ["loss", "reconstruction_loss", "kl_loss"]
    columns += [f"val_{name}" for name in columns] if validation else []
    values = np.random.default_rng(0).random((epochs, len(columns)))
    return [{"epoch": epoch + 1, **dict(zip(columns, values[epoch], strict=True))} for epoch in range(epochs)]


@pytest.mark.parametrize(("validation", "labels"), [(True, ["training", "validation"]), (False, ["training"])])
def test_curves_label_the_splits_of_the_history(validation, labels):
    figure = plots.curves(history(3, validation=validation))
    assert [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes] == [labels] * 3


def test_curves_show_total_reconstruction_and_kl():
    figure = plots.curves(history(3, validation=True))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "reconstruction loss", "KL loss"]
    assert {axes.get_ylabel() for axes in figure.axes} == {"nats per example"}


def test_curves_draw_the_numbers_of_the_history():
    rows = history(4, validation=True)
    for axes, name in zip(plots.curves(rows).axes, ("loss", "reconstruction_loss", "kl_loss"), strict=True):
        for line, column in zip(axes.get_lines(), (name, f"val_{name}"), strict=True):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
            np.testing.assert_array_equal(line.get_ydata(), [row[column] for row in rows])


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_curves_number_whole_epochs(epochs):
    figure = plots.curves(history(epochs, validation=False))
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert shown
        assert all(tick == round(tick) for tick in shown)


def test_one_epoch_shows_as_a_point():
    with_point, without = (plots.curves(history(1, validation=False)) for _ in range(2))
    for axes in without.axes:
        axes.get_lines()[0].set_visible(False)
    assert (pixels(with_point) != pixels(without)).any()


def test_saved_file_is_a_png(tmp_path):
    plots.save(plots.image_grid(np.zeros((1, 8, 8, 1)), 1, "title"), tmp_path / "grid.png")
    assert Image.open(tmp_path / "grid.png").format == "PNG"


def test_grids_are_side_by_side_with_all_their_pixels():
    panels = {"one": random_images(4, (28, 28, 1)), "a": random_images(2, (28, 28, 1))}
    drawn = pixels(plots.side_by_side(panels, 2))
    zoom, side = 3, 28 * 2 + plots.images.GAP
    first = drawn[plots.images.TITLE_PIXELS :, : side * zoom : zoom, 0][::zoom]
    np.testing.assert_allclose(first[:28, :28], np.rint(panels["one"][0, :, :, 0] * 255), atol=1)
    second = drawn[plots.images.TITLE_PIXELS :: zoom, side * zoom + plots.images.PANEL_GAP :: zoom, 0]
    np.testing.assert_allclose(second[:28, -28:], np.rint(panels["a"][1, :, :, 0] * 255), atol=1)
    assert drawn.shape[1] == 2 * side * zoom + plots.images.PANEL_GAP


def test_rows_are_below_their_labels():
    rows = {"originals": random_images(3, (28, 28, 1)), "small": random_images(1, (8, 8, 3))}
    figure = plots.rows_with_headings(rows)
    assert [text.get_text().strip() for text in figure.texts] == list(rows)
    drawn = pixels(figure)
    assert drawn.shape[0] == 2 * plots.images.TITLE_PIXELS + 3 * 28 + 9 * 8
    last = drawn[-72::9, : 8 * 9 : 9]
    np.testing.assert_allclose(last, np.rint(rows["small"][0] * 255), atol=1)


def test_captions_are_under_their_images():
    rows = {label: random_images(3, (28, 28, 1)) for label in ("first", "second")}
    captions = {label: [f"{label} {number}" for number in range(3)] for label in rows}
    figure = plots.rows_with_headings(rows, captions)
    width, height = pixels(figure).shape[1::-1]
    assert height == pixels(plots.rows_with_headings(rows)).shape[0] + 2 * plots.images.CAPTION_PIXELS
    places = {text.get_text(): text.get_position() for text in figure.texts}
    columns = [places[caption][0] * width for caption in captions["second"]]
    np.testing.assert_allclose(np.diff(columns), 30 * 3, atol=3)  # 28 pixels and the gap, three times enlarged
    assert columns[0] == pytest.approx(14 * 3, abs=3)
    assert places["second 0"][1] * height == pytest.approx(plots.images.CAPTION_PIXELS / 2)


def compared_axes(**options):
    history = [{"epoch": e, "reconstruction_loss": 10.0 - e, "kl_loss": 2.0, "loss": 99.0} for e in (1, 2)]
    return plots.comparison_curves({"a": [history, history], "b": [history]}, **options).axes


def test_compared_curves_have_a_line_for_every_run_and_a_label_for_every_group():
    axes = compared_axes()[0]
    assert len(axes.lines) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a, training", "b, training"]


def test_compared_total_is_minus_the_elbo_whatever_beta_was():
    np.testing.assert_allclose(compared_axes()[0].lines[0].get_ydata(), [11, 10])


def test_one_of_the_compared_curves_can_be_shown_alone():
    (axes,) = compared_axes(names=["KL loss"])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [2, 2])


def test_compared_curves_show_every_end_and_cut_the_beginning_off():
    def history(start, end):
        losses = np.linspace(end + 10, end, 20)
        rows = [{"epoch": e, "reconstruction_loss": loss, "kl_loss": 0.0} for e, loss in enumerate(losses, 1)]
        rows[0]["reconstruction_loss"] = start
        return [
            {**row, "val_reconstruction_loss": start if e < 9 else end, "val_kl_loss": 0} for e, row in enumerate(rows)
        ]

    axes = plots.comparison_curves({"low": [history(900, 100)], "high": [history(5000, 300)]}).axes[0]
    bottom, top = axes.get_ylim()
    assert 80 < bottom < 100
    assert 310 < top < 330


def clipped(figure, *parts):
    """Whether one of the parts lies partly outside of the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = [part.get_window_extent(canvas.get_renderer()) for part in parts]
    return any(box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height for box in boxes)


def test_rows_are_next_to_their_names_and_below_those_of_the_columns():
    rows = {f"z{row}: 12.34 nats": random_images(6, (28, 28, 1))[row::2] for row in range(2)}
    figure = plots.rows_with_side_labels(rows, "title", ["-3", "0", "1.5"])
    texts = [text.get_text().strip() for text in figure.texts]
    assert texts == ["title", *rows, "-3", "0", "1.5"]
    assert not clipped(figure, *figure.texts)
    drawn, side = pixels(figure), 3 * (28 * 3 + 2 * plots.images.GAP)
    canvas = drawn[-3 * (28 * 2 + plots.images.GAP) :: 3, -side::3]
    for row, images in enumerate(rows.values()):
        for column, image in enumerate(images):
            expected = np.rint(np.clip(image[..., 0], 0, 1) * 255)
            np.testing.assert_allclose(tile(canvas, row, column, (28, 28, 1))[..., 0], expected, atol=1)


def test_names_of_rows_do_not_reach_into_the_images():
    figure = plots.rows_with_side_labels({"z127: 10.00 nats": np.ones((7, 28, 28, 1))}, "", list(map(str, range(7))))
    label = figure.texts[1].get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert label.x1 < figure.axes[0].get_window_extent().x0


NUM_POINTS = np.random.default_rng(0).standard_normal((200, 2))


@pytest.mark.parametrize(
    ("classes", "names"), [(10, None), (20, None), (3, ["cat", "a folder with a very long name", "x"])]
)
def test_map_has_a_legend_of_its_classes_that_is_not_clipped(classes, names):
    figure = plots.latent_map(NUM_POINTS, np.arange(200) % classes, ("a", "b"), "title", names)
    legend = figure.axes[0].get_legend()
    assert len({tuple(np.ravel(handle.get_color())) for handle in legend.legend_handles}) == classes
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == (
        [str(label) for label in range(classes)] if names is None else ["cat", "a folder with a ver…", "x"]
    )
    assert not clipped(figure, legend)


def test_map_of_many_classes_has_a_colour_bar_and_no_legend():
    figure = plots.latent_map(NUM_POINTS, np.arange(200) % 21, ("a", "b"), "title")
    assert figure.axes[0].get_legend() is None
    assert [axes.get_ylabel() for axes in figure.axes] == ["b", "class"]


def test_map_without_classes_has_one_colour():
    (axes,) = plots.latent_map(NUM_POINTS, None, ("a", "b"), "title").axes
    assert axes.get_legend() is None
    assert len(axes.collections[0].get_facecolors()) == 1


def test_map_colours_every_point_by_its_class():
    labels = (NUM_POINTS[:, 0] > 0) + 4
    (axes,) = plots.latent_map(NUM_POINTS, labels, ("a", "b"), "title").axes
    (drawn,) = axes.collections
    colours = [handle.get_color() for handle in axes.get_legend().legend_handles]
    expected = [colours[int(x > 0)] for x, _ in drawn.get_offsets()]
    np.testing.assert_allclose(drawn.get_facecolors(), expected)
    np.testing.assert_allclose(np.sort(drawn.get_offsets(), axis=0), np.sort(NUM_POINTS, axis=0))
