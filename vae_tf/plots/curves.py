"""Learning curves of one or more runs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

DPI = 100
LOSSES = (("loss", "loss"), ("reconstruction_loss", "reconstruction loss"), ("kl_loss", "KL loss"))
TRAINING_STYLE = "--"
COMPARISON_PANELS = {
    "negative ELBO": ("reconstruction_loss", "kl_loss"),
    "reconstruction loss": ("reconstruction_loss",),
    "KL loss": ("kl_loss",),
}


def curves(history: Sequence[dict[str, float]]) -> Figure:
    """Returns the learning curves of a run: total, reconstruction and KL loss, for training and validation (if any).

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
        _label_axes(axes)
        axes.legend()
    return figure


def comparison_curves(
    histories: Mapping[str, Sequence[Sequence[dict[str, float]]]], names: Sequence[str] = tuple(COMPARISON_PANELS)
) -> Figure:
    """Returns the learning curves of several groups of runs: the negative ELBO and its terms, one line per run.

    The y-axis is clipped to the range of the training curves after the first 10% of epochs, so that the initial
    drop does not dominate.

    Args:
        histories: The histories of each group's runs, keyed by the group's label; a history has one row per epoch.
        names: Names of the panels to plot, from `COMPARISON_PANELS`.
    """
    figure = Figure((4 * len(names), 4), dpi=DPI, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        columns = COMPARISON_PANELS[name]
        for number, (label, runs) in enumerate(histories.items()):
            for position, history in enumerate(runs):
                _plot_run(axes, history, columns, None if position else label, f"C{number}")
        _clip_initial_drop(axes)
        axes.set_title(name)
        _label_axes(axes)
        axes.legend(fontsize=8)
    return figure


def _plot_run(
    axes: Axes, history: Sequence[dict[str, float]], columns: Sequence[str], label: str | None, color: str
) -> None:
    """Plots a dashed training line and, if the run has a validation split, a solid validation line."""
    for prefix, style, split in (("", TRAINING_STYLE, "training"), ("val_", "-", "validation")):
        if prefix + columns[0] in history[0]:
            values = [_sum_columns(row, columns, prefix) for row in history]
            axes.plot(
                [row["epoch"] for row in history],
                values,
                style,
                marker="." if len(values) == 1 else None,
                color=color,
                linewidth=1.2,
                label=label and f"{label}, {split}",
            )


def _clip_initial_drop(axes: Axes) -> None:
    """Sets the limits of the y-axis so that the steep initial drop is cut off."""
    values = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    training = [y for y, line in zip(values, axes.lines, strict=True) if line.get_linestyle() == TRAINING_STYLE]
    top = max([*(y[len(y) // 10 :].max() for y in training), *(y[-1] for y in values)])
    bottom = min(y.min() for y in values)
    margin = 0.05 * (top - bottom) or 1.0
    axes.set_ylim(bottom - margin, top + margin)


def _sum_columns(row: dict[str, float], columns: Sequence[str], prefix: str = "") -> float:
    return sum(row[prefix + column] for column in columns)


def _label_axes(axes: Axes) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel("nats per example")
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
