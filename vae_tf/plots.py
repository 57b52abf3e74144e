"""Every figure. Functions take arrays and return matplotlib figures; nothing is drawn on a screen."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

DPI = 100
GAP = 2
TITLE_INCHES = 0.4
TITLE_CHARACTER_INCHES = 0.08
TILE_SIDE = 72
LOSSES = (("loss", "loss"), ("reconstruction_loss", "reconstruction loss"), ("kl_loss", "KL loss"))


def picture_grid(images: np.ndarray, columns: int, title: str) -> Figure:
    """Returns a figure of pictures in rows, each pixel drawn as a whole number of screen pixels.

    Args:
        images: `(N, H, W, C)`, C 1 or 3; values outside [0, 1] are clipped.
        columns: Pictures in a row.
        title: Line above the pictures.
    """
    canvas = _tiled(np.clip(images, 0.0, 1.0), columns)
    zoom = math.ceil(TILE_SIDE / max(images.shape[1:3]))
    height, width = (side * zoom / DPI for side in canvas.shape[:2])
    whole_width, whole_height = max(width, len(title) * TITLE_CHARACTER_INCHES), height + TITLE_INCHES
    figure = Figure((whole_width, whole_height), dpi=DPI)
    left = round((whole_width - width) / 2 * DPI) / DPI
    axes = figure.add_axes((left / whole_width, 0, width / whole_width, height / whole_height))
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    figure.text(0.5, 1 - TITLE_INCHES / 2 / whole_height, title, ha="center", va="center", fontsize=10)
    return figure


def reconstruction_grid(originals: np.ndarray, reconstructions: np.ndarray, title: str) -> Figure:
    """Returns a figure with the originals in the upper row and their reconstructions below.

    Args:
        originals: `(N, H, W, C)` in [0, 1].
        reconstructions: The same shape.
        title: Line above the pictures.
    """
    return picture_grid(np.concatenate([originals, reconstructions]), len(originals), title)


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
        axes.set_xlabel("epoch")
        axes.set_ylabel("nats per image")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG."""
    figure.savefig(path, format="png", dpi=DPI)


def _tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """Pictures `(N, H, W, C)` on one white canvas, `(rows * H + gaps, columns * W + gaps, C)`."""
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), np.float32)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    return canvas
