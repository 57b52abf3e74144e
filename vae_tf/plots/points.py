"""Scatter plots of toy datasets and latents."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

DPI = 100
PANEL_INCHES, PANEL_PAD = 4, 0.1
POINT_AREA = 6
MAX_LEGEND_CLASSES, MAX_CLASS_NAME_LENGTH = 20, 20


class Points(NamedTuple):
    """Points `(N, D)`, of which the first two columns are plotted, and optionally their classes `(N,)`."""

    xy: np.ndarray
    classes: np.ndarray | None = None


def point_panels(
    panels: Mapping[str, Points], panels_with_own_limits: Mapping[str, Points] = MappingProxyType({})
) -> Figure:
    """Returns a figure with several sets of points next to each other, coloured by class.

    Args:
        panels: Sets of points, keyed by their titles; their axes share the same limits.
        panels_with_own_limits: Sets of points whose axes have their own limits, keyed by their titles.
    """
    all_panels = {**panels, **panels_with_own_limits}
    layout = ConstrainedLayoutEngine(w_pad=PANEL_PAD, h_pad=PANEL_PAD)
    figure = Figure((PANEL_INCHES * len(all_panels), PANEL_INCHES), dpi=DPI, layout=layout)
    limits = _limits(np.concatenate([points.xy[:, :2] for points in panels.values()]))
    for axes, (title, points) in zip(
        figure.subplots(1, len(all_panels), squeeze=False)[0], all_panels.items(), strict=True
    ):
        x, y = points.xy[:, 0], points.xy[:, 1] if points.xy.shape[1] > 1 else np.zeros(len(points.xy))
        colours = "tab:gray" if points.classes is None else colormaps["tab10"](points.classes % 10)
        axes.scatter(x, y, POINT_AREA, colours, linewidths=0, alpha=0.7)
        low, high = limits if title in panels else _limits(np.stack([x, y], axis=1))
        axes.set(title=title, xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    return figure


def latent_map(
    points: np.ndarray,
    labels: np.ndarray | None,
    axis_names: tuple[str, str],
    title: str,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Returns a figure of points in a plane, with the same scale on both axes and a colour for each class.

    Args:
        points: `(N, 2)`.
        labels: Class of each point `(N,)`, or `None` for one colour. For more than twenty classes, a
            colour bar replaces the legend.
        axis_names: Labels of the two axes.
        title: Title above the plot.
        class_names: Name of each class. Default: its number.
    """
    figure = Figure((5.6, 4.6), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=axis_names[0], ylabel=axis_names[1])
    axes.set_aspect("equal", adjustable="datalim")
    axes.grid(alpha=0.3)
    # The order is random so that no class hides another just because it is plotted later.
    order = np.random.default_rng(0).permutation(len(points))
    x, y = points[order].T
    if labels is None:
        axes.scatter(x, y, s=POINT_AREA)
        return figure
    classes, ranks = np.unique(labels, return_inverse=True)
    if len(classes) > MAX_LEGEND_CLASSES:
        scatter = axes.scatter(x, y, s=POINT_AREA, c=labels[order], cmap="turbo")
        figure.colorbar(scatter, label="class")
        return figure
    colours = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    axes.scatter(x, y, s=POINT_AREA, c=colours(ranks[order]))
    names = [str(label) if class_names is None else _truncate(class_names[label]) for label in classes]
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colours(rank), label=name) for rank, name in enumerate(names)
    ]
    axes.legend(handles=handles, title="class", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _limits(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lower and upper corner of a square around points `(N, 2)`."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    half = 0.55 * (float((high - low).max()) or 1.0)
    return (low + high) / 2 - half, (low + high) / 2 + half


def _truncate(name: str) -> str:
    return name if len(name) <= MAX_CLASS_NAME_LENGTH else f"{name[: MAX_CLASS_NAME_LENGTH - 1]}…"
