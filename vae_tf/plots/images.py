"""Grids and rows of images, upscaled by an integer factor."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

DPI = 100
GAP = 2
TITLE_PIXELS = 40
TITLE_CHARACTER_PIXELS = 8
PANEL_GAP = 30
TILE_SIDE = 72
LABEL_POINTS, LABEL_CHARACTER_PIXELS, COLUMN_LABEL_PIXELS = 12, 10, 24
CAPTION_PIXELS = 18


def image_grid(images: np.ndarray, columns: int, title: str) -> Figure:
    """Returns a figure of a grid of images, upscaled by an integer factor.

    Args:
        images: `(N, H, W, C)`, with C 1 or 3; values outside [0, 1] are clipped.
        columns: Images per row.
        title: Title above the images.
    """
    return side_by_side({title: images}, columns)


def side_by_side(panels: Mapping[str, np.ndarray], columns: int) -> Figure:
    """Returns a figure of several image grids next to each other, upscaled by an integer factor.

    Args:
        panels: Images `(N, H, W, C)` of each grid, keyed by its title; values outside [0, 1] are clipped.
        columns: Images per row of a grid.
    """
    canvases = {title: _upscale(_tile(images, columns), images.shape[1:3]) for title, images in panels.items()}
    widths = [max(canvas.shape[1], len(title) * TITLE_CHARACTER_PIXELS) for title, canvas in canvases.items()]
    height = max(canvas.shape[0] for canvas in canvases.values()) + TITLE_PIXELS
    width = sum(widths) + PANEL_GAP * (len(widths) - 1)
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    left = 0
    for (title, canvas), panel_width in zip(canvases.items(), widths, strict=True):
        _add_canvas(figure, canvas, left + (panel_width - canvas.shape[1]) // 2, TITLE_PIXELS)
        figure.text((left + panel_width / 2) / width, 1 - TITLE_PIXELS / 2 / height, title, ha="center", va="center")
        left += panel_width + PANEL_GAP
    return figure


def reconstruction_grid(originals: np.ndarray, reconstructions: np.ndarray, title: str) -> Figure:
    """Returns a figure with the originals in the upper row and their reconstructions in the lower row.

    Args:
        originals: `(N, H, W, C)` in [0, 1].
        reconstructions: Images of the same shape.
        title: Title above the images.
    """
    return image_rows([originals, reconstructions], title)


def image_rows(rows: Sequence[np.ndarray], title: str) -> Figure:
    """Returns a figure with rows of images, each `(N, H, W, C)`, below one title."""
    return image_grid(np.concatenate(rows), len(rows[0]), title)


def rows_with_headings(rows: Mapping[str, np.ndarray], captions: Mapping[str, Sequence[str]] | None = None) -> Figure:
    """Returns a figure with a row of images below each heading, upscaled by an integer factor.

    Args:
        rows: Images `(N, H, W, C)` of each row, keyed by its heading; values outside [0, 1] are clipped.
        captions: Captions below the images of a row, one per image, keyed by the row's heading.
    """
    canvases = {heading: _upscale(_tile(images, len(images)), images.shape[1:3]) for heading, images in rows.items()}
    captions = captions or {}
    width = max(max(canvas.shape[1], len(heading) * TITLE_CHARACTER_PIXELS) for heading, canvas in canvases.items())
    height = sum(canvas.shape[0] + TITLE_PIXELS for canvas in canvases.values()) + CAPTION_PIXELS * len(captions)
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    top = 0
    for heading, canvas in canvases.items():
        figure.text(0, 1 - (top + TITLE_PIXELS / 2) / height, f" {heading}", ha="left", va="center")
        _add_canvas(figure, canvas, 0, top + TITLE_PIXELS)
        top += TITLE_PIXELS + canvas.shape[0]
        if heading in captions:
            for number, caption in enumerate(captions[heading]):
                left = (number + 0.5) * canvas.shape[1] / len(captions[heading])
                position = (left / width, 1 - (top + CAPTION_PIXELS / 2) / height)
                figure.text(*position, caption, ha="center", va="center", fontsize="small")
            top += CAPTION_PIXELS
    return figure


def rows_with_side_labels(rows: Mapping[str, np.ndarray], title: str, columns: Sequence[str] = ()) -> Figure:
    """Returns a figure with a row of images to the right of each label, below the labels of the columns.

    Args:
        rows: Images `(S, H, W, C)` of each row, keyed by its label; values outside [0, 1] are clipped.
        title: Title above the images.
        columns: Labels of the S columns; empty for none.
    """
    images = np.stack(list(rows.values()))
    image_size = images.shape[2:4]
    canvas = _upscale(_tile(images.reshape(-1, *images.shape[2:]), images.shape[1]), image_size)
    left = LABEL_CHARACTER_PIXELS * (1 + max(map(len, rows)))
    top = TITLE_PIXELS + COLUMN_LABEL_PIXELS * bool(columns)
    width = max(left + canvas.shape[1], LABEL_CHARACTER_PIXELS * len(title))
    height = top + canvas.shape[0]
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    figure.text(0.5, 1 - TITLE_PIXELS / 2 / height, title, ha="center", va="center", size=LABEL_POINTS)
    row_height, column_width = canvas.shape[0] / len(rows), canvas.shape[1] / images.shape[1]
    for row, label in enumerate(rows):
        position = (0, 1 - (top + (row + 0.5) * row_height) / height)
        figure.text(*position, f" {label}", ha="left", va="center", size=LABEL_POINTS)
    for column, label in enumerate(columns):
        position = ((left + (column + 0.5) * column_width) / width, 1 - (top - COLUMN_LABEL_PIXELS / 2) / height)
        figure.text(*position, label, ha="center", va="center", size=LABEL_POINTS)
    _add_canvas(figure, canvas, left, top)
    return figure


def _add_canvas(figure: Figure, canvas: np.ndarray, left: int, top: int) -> None:
    """Adds a canvas to a figure without rescaling it, with its upper left corner at the given pixel position."""
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    position = (left / width, 1 - (top + canvas.shape[0]) / height)
    axes = figure.add_axes((*position, canvas.shape[1] / width, canvas.shape[0] / height))
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def _upscale(canvas: np.ndarray, image_size: tuple[int, ...]) -> np.ndarray:
    zoom = math.ceil(TILE_SIDE / max(image_size))
    return canvas.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Returns images `(N, H, W, C)` on one white canvas, `(rows * H + gaps, columns * W + gaps, C)`."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), np.float32)
    for index, image in enumerate(np.clip(images, 0.0, 1.0)):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas
