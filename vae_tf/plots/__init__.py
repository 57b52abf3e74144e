"""All figures. The functions take arrays and return matplotlib figures, without displaying them."""

from pathlib import Path
from typing import BinaryIO

from matplotlib.figure import Figure

from vae_tf.plots.curves import COMPARISON_PANELS, comparison_curves, curves
from vae_tf.plots.images import (
    image_grid,
    image_rows,
    reconstruction_grid,
    rows_with_headings,
    rows_with_side_labels,
    side_by_side,
)
from vae_tf.plots.points import Points, latent_map, point_panels

__all__ = [
    "COMPARISON_PANELS",
    "Points",
    "comparison_curves",
    "curves",
    "image_grid",
    "image_rows",
    "latent_map",
    "point_panels",
    "reconstruction_grid",
    "rows_with_headings",
    "rows_with_side_labels",
    "save",
    "side_by_side",
]


def save(figure: Figure, file: Path | BinaryIO) -> None:
    """Writes a figure as PNG."""
    figure.savefig(file, format="png")
