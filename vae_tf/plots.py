"""Every figure. Functions take arrays and return matplotlib figures; nothing is drawn on a screen."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

DPI = 100
GAP = 2
TITLE_PIXELS = 40
TITLE_CHARACTER_PIXELS = 8
PANEL_GAP = 30
TILE_SIDE = 72
LABEL_POINTS, LABEL_CHARACTER_PIXELS, COLUMN_LABEL_PIXELS = 12, 10, 24
ROW_RANK = 2
PANEL_INCHES, PANEL_PAD = 4, 0.1
POINT_AREA = 6
LARGEST_LEGEND, LARGEST_CLASS_NAME = 20, 20
LOSSES = (("loss", "loss"), ("reconstruction_loss", "reconstruction loss"), ("kl_loss", "KL loss"))
TRAINING_STYLE = "--"
COMPARED = {
    "minus the ELBO": ("reconstruction_loss", "kl_loss"),
    "reconstruction loss": ("reconstruction_loss",),
    "KL loss": ("kl_loss",),
}


class Points(NamedTuple):
    """Points `(N, 2)`, or the first two of more columns, and the class of each `(N,)` where they have any."""

    xy: np.ndarray
    classes: np.ndarray | None = None


def picture_grid(images: np.ndarray, columns: int, title: str) -> Figure:
    """Returns a figure of pictures in rows, each pixel drawn as a whole number of screen pixels.

    Args:
        images: `(N, H, W, C)`, C 1 or 3; values outside [0, 1] are clipped.
        columns: Pictures in a row.
        title: Line above the pictures.
    """
    return side_by_side({title: images}, columns)


def side_by_side(panels: Mapping[str, np.ndarray], columns: int) -> Figure:
    """Returns a figure of several grids of pictures in a row, each pixel drawn as a whole number of screen pixels.

    Args:
        panels: Pictures `(N, H, W, C)` of each grid by the line above it; values outside [0, 1] are clipped. Rows
            `(N, F)` are drawn as points.
        columns: Pictures in a row of a grid.
    """
    if next(iter(panels.values())).ndim == ROW_RANK:
        return point_panels({title: Points(rows) for title, rows in panels.items()})
    canvases = {title: _zoomed(_tiled(images, columns), images.shape[1:3]) for title, images in panels.items()}
    widths = [max(canvas.shape[1], len(title) * TITLE_CHARACTER_PIXELS) for title, canvas in canvases.items()]
    height = max(canvas.shape[0] for canvas in canvases.values()) + TITLE_PIXELS
    width = sum(widths) + PANEL_GAP * (len(widths) - 1)
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    left = 0
    for (title, canvas), panel in zip(canvases.items(), widths, strict=True):
        _draw(figure, canvas, left + (panel - canvas.shape[1]) // 2, TITLE_PIXELS)
        figure.text((left + panel / 2) / width, 1 - TITLE_PIXELS / 2 / height, title, ha="center", va="center")
        left += panel + PANEL_GAP
    return figure


def reconstruction_grid(originals: np.ndarray, reconstructions: np.ndarray, title: str) -> Figure:
    """Returns a figure with the originals in the upper row and their reconstructions below.

    Args:
        originals: `(N, H, W, C)` in [0, 1].
        reconstructions: The same shape.
        title: Line above the pictures.
    """
    return picture_rows([originals, reconstructions], title)


def picture_rows(rows: Sequence[np.ndarray], title: str) -> Figure:
    """Returns a figure with rows of equally many pictures `(N, H, W, C)`, below one line."""
    return picture_grid(np.concatenate(rows), len(rows[0]), title)


def labelled_rows(rows: Mapping[str, np.ndarray]) -> Figure:
    """Returns a figure with a row of pictures under each label, pixels drawn as in `side_by_side`.

    Args:
        rows: Pictures `(N, H, W, C)` of each row by its label; values outside [0, 1] are clipped. Rows `(N, F)` are
            drawn as points, next to each other.
    """
    if next(iter(rows.values())).ndim == ROW_RANK:
        return point_panels({label: Points(xy) for label, xy in rows.items()})
    canvases = {label: _zoomed(_tiled(images, len(images)), images.shape[1:3]) for label, images in rows.items()}
    width = max(max(canvas.shape[1], len(label) * TITLE_CHARACTER_PIXELS) for label, canvas in canvases.items())
    height = sum(canvas.shape[0] + TITLE_PIXELS for canvas in canvases.values())
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    top = 0
    for label, canvas in canvases.items():
        figure.text(0, 1 - (top + TITLE_PIXELS / 2) / height, f" {label}", ha="left", va="center")
        _draw(figure, canvas, 0, top + TITLE_PIXELS)
        top += TITLE_PIXELS + canvas.shape[0]
    return figure


def point_panels(panels: Mapping[str, Points], others: Mapping[str, Points] = MappingProxyType({})) -> Figure:
    """Returns a figure of points next to each other, coloured by class.

    Args:
        panels: Points by the line above them, in axes with the same limits.
        others: Points in axes of their own.
    """
    both = {**panels, **others}
    layout = ConstrainedLayoutEngine(w_pad=PANEL_PAD, h_pad=PANEL_PAD)
    figure = Figure((PANEL_INCHES * len(both), PANEL_INCHES), dpi=DPI, layout=layout)
    limits = _limits(np.concatenate([points.xy[:, :2] for points in panels.values()]))
    for axes, (title, points) in zip(figure.subplots(1, len(both), squeeze=False)[0], both.items(), strict=True):
        x, y = points.xy[:, 0], points.xy[:, 1] if points.xy.shape[1] > 1 else np.zeros(len(points.xy))
        colours = "tab:gray" if points.classes is None else colormaps["tab10"](points.classes % 10)
        axes.scatter(x, y, POINT_AREA, colours, linewidths=0, alpha=0.7)
        low, high = limits if title in panels else _limits(np.stack([x, y], axis=1))
        axes.set(title=title, xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    return figure


def traversal_grid(rows: Mapping[str, np.ndarray], values: Sequence[float], title: str) -> Figure:
    """Returns a figure with a row of pictures beside each label, below the value of each column.

    Args:
        rows: Pictures `(S, H, W, C)` of each row by its label; values outside [0, 1] are clipped.
        values: Value of each column, `(S,)`.
        title: Line above.
    """
    pictures = np.stack(list(rows.values()))
    sides = pictures.shape[2:4]
    canvas = _zoomed(_tiled(pictures.reshape(-1, *pictures.shape[2:]), len(values)), sides)
    left = LABEL_CHARACTER_PIXELS * max(map(len, rows))
    top = TITLE_PIXELS + COLUMN_LABEL_PIXELS
    width = max(left + canvas.shape[1], LABEL_CHARACTER_PIXELS * len(title))
    height = top + canvas.shape[0]
    figure = Figure((width / DPI, height / DPI), dpi=DPI)
    figure.text(0.5, 1 - TITLE_PIXELS / 2 / height, title, ha="center", va="center", size=LABEL_POINTS)
    row_height, column_width = canvas.shape[0] / len(rows), canvas.shape[1] / len(values)
    for row, label in enumerate(rows):
        figure.text(
            0, 1 - (top + (row + 0.5) * row_height) / height, f" {label}", ha="left", va="center", size=LABEL_POINTS
        )
    for column, value in enumerate(values):
        place = ((left + (column + 0.5) * column_width) / width, 1 - (top - COLUMN_LABEL_PIXELS / 2) / height)
        figure.text(*place, f"{value:g}", ha="center", va="center", size=LABEL_POINTS)
    _draw(figure, canvas, left, top)
    return figure


def latent_map(
    points: np.ndarray,
    labels: np.ndarray | None,
    axis_names: tuple[str, str],
    title: str,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Returns a figure of points in the plane, at one scale in both directions, a colour for each class.

    Args:
        points: `(N, 2)`.
        labels: Their classes `(N,)`, or `None` for one colour. More than twenty get a colour bar.
        axis_names: What the axes are.
        title: Line above.
        class_names: By class; by default its number.
    """
    figure = Figure((5.6, 4.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=axis_names[0], ylabel=axis_names[1])
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.3)
    # In an order of chance, so that no class covers another because it comes later.
    order = np.random.default_rng(0).permutation(len(points))
    x, y = points[order].T
    if labels is None:
        axes.scatter(x, y, s=POINT_AREA)
        return figure
    classes, ranks = np.unique(labels, return_inverse=True)
    if len(classes) > LARGEST_LEGEND:
        drawn = axes.scatter(x, y, s=POINT_AREA, c=labels[order], cmap="turbo")
        figure.colorbar(drawn, label="class")
        return figure
    colours = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    axes.scatter(x, y, s=POINT_AREA, c=colours(ranks[order]))
    names = [str(label) if class_names is None else _shortened(class_names[label]) for label in classes]
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colours(rank), label=name) for rank, name in enumerate(names)
    ]
    axes.legend(handles=handles, title="class", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def curves(history: Sequence[dict[str, float]]) -> Figure:
    """Returns the learning curves: total, reconstruction and KL, training and (where there is one) validation.

    Args:
        history: One row per epoch, as in `history.csv`.
    """
    figure = Figure((12, 3.6), dpi=DPI, layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, (column, name) in zip(figure.subplots(1, len(LOSSES)), LOSSES, strict=True):
        for key, label in ((column, "training"), (f"val_{column}", "validation")):
            if key in history[0]:
                axes.plot(epochs, [row[key] for row in history], label=label, marker="." if len(epochs) < 30 else None)
        axes.set_title(name)
        _epochs_and_nats(axes)
        axes.legend()
    return figure


def compared_curves(
    histories: Mapping[str, Sequence[Sequence[dict[str, float]]]], names: Sequence[str] = tuple(COMPARED)
) -> Figure:
    """Returns the learning curves of several groups of runs: minus the ELBO and its parts, a line for each run.

    What lies above the training lines after their first tenth is cut off, so that the rest can be told apart.

    Args:
        histories: The histories of a group's runs by its label; a history has one row per epoch.
        names: Which of the curves, of those in `COMPARED`.
    """
    figure = Figure((4 * len(names), 4), dpi=DPI, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        parts = COMPARED[name]
        for number, (label, runs) in enumerate(histories.items()):
            for position, history in enumerate(runs):
                _compared_lines(axes, history, parts, None if position else label, f"C{number}")
        _leave_out_the_fall(axes)
        axes.set_title(name)
        _epochs_and_nats(axes)
        axes.legend(fontsize=8)
    return figure


def save(figure: Figure, file: Path | BinaryIO) -> None:
    """Writes a figure as PNG."""
    figure.savefig(file, format="png", dpi=DPI)


def _compared_lines(
    axes: Axes, history: Sequence[dict[str, float]], parts: Sequence[str], label: str | None, color: str
) -> None:
    """One run's training line, dashed, and its validation line where it has one."""
    for prefix, style, what in (("", TRAINING_STYLE, "training"), ("val_", "-", "validation")):
        if prefix + parts[0] in history[0]:
            values = [_total(row, parts, prefix) for row in history]
            axes.plot(
                [row["epoch"] for row in history],
                values,
                style,
                color=color,
                linewidth=1.2,
                label=label and f"{label}, {what}",
            )


def _leave_out_the_fall(axes: Axes) -> None:
    """Sets the vertical limits around all values but the highest of the beginning, and of early validations."""
    values = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    training = [y for y, line in zip(values, axes.lines, strict=True) if line.get_linestyle() == TRAINING_STYLE]
    top = max([*(y[len(y) // 10 :].max() for y in training), *(y[-1] for y in values)])
    bottom = min(y.min() for y in values)
    margin = 0.05 * (top - bottom) or 1.0
    axes.set_ylim(bottom - margin, top + margin)


def _total(row: dict[str, float], parts: Sequence[str], prefix: str = "") -> float:
    return sum(row[prefix + part] for part in parts)


def _epochs_and_nats(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel("nats per example")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def _shortened(name: str) -> str:
    return name if len(name) <= LARGEST_CLASS_NAME else f"{name[: LARGEST_CLASS_NAME - 1]}…"


def _draw(figure: Figure, canvas: np.ndarray, left: int, top: int) -> None:
    """Puts a canvas on a figure at its own size, its upper left corner at these pixels."""
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    place = (left / width, 1 - (top + canvas.shape[0]) / height)
    axes = figure.add_axes((*place, canvas.shape[1] / width, canvas.shape[0] / height))
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def _limits(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner of a square around points `(N, 2)`."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    half = 0.55 * (float((high - low).max()) or 1.0)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _zoomed(canvas: np.ndarray, picture_sides: tuple[int, ...]) -> np.ndarray:
    zoom = math.ceil(TILE_SIDE / max(picture_sides))
    return canvas.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """Pictures `(N, H, W, C)` on one white canvas, `(rows * H + gaps, columns * W + gaps, C)`."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), np.float32)
    for index, image in enumerate(np.clip(images, 0.0, 1.0)):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas
