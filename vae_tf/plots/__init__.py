"""All figures. The functions take arrays and return matplotlib figures; nothing is shown on a screen."""

from pathlib import Path
from typing import BinaryIO

from matplotlib.figure import Figure

from vae_tf.plots.curves import COMPARED, compared_curves, curves
from vae_tf.plots.images import (
    image_grid,
    image_rows,
    labelled_rows,
    named_rows,
    reconstruction_grid,
    side_by_side,
)
from vae_tf.plots.points import Points, latent_map, point_panels

__all__ = [
    "COMPARED",
    "Points",
    "compared_curves",
    "curves",
    "image_grid",
    "image_rows",
    "labelled_rows",
    "latent_map",
    "named_rows",
    "point_panels",
    "reconstruction_grid",
    "save",
    "side_by_side",
]


def save(figure: Figure, file: Path | BinaryIO) -> None:
    """Writes a figure as PNG."""
    figure.savefig(file, format="png")
