"""Learning curves of one run or of several."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

DPI = 100
LOSSES = (("loss", "loss"), ("reconstruction_loss", "reconstruction loss"), ("kl_loss", "KL loss"))
TRAINING_STYLE = "--"
COMPARED = {
    "minus the ELBO": ("reconstruction_loss", "kl_loss"),
    "reconstruction loss": ("reconstruction_loss",),
    "KL loss": ("kl_loss",),
}


def curves(history: Sequence[dict[str, float]]) -> Figure:
    """Returns the learning curves of a run: total, reconstruction and KL loss, in training and, if any, validation.

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
    """Returns the learning curves of several groups of runs: minus the ELBO and its terms, one line per run.

    Everything above the training lines after their first tenth is cut off, so that the rest stays readable.

    Args:
        histories: The histories of a group's runs, by the group's label; a history has one row per epoch.
        names: Names of the curves to draw, out of `COMPARED`.
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


def _compared_lines(
    axes: Axes, history: Sequence[dict[str, float]], parts: Sequence[str], label: str | None, color: str
) -> None:
    """Draws a run's training line, dashed, and its validation line if it has one."""
    for prefix, style, what in (("", TRAINING_STYLE, "training"), ("val_", "-", "validation")):
        if prefix + parts[0] in history[0]:
            values = [_total(row, parts, prefix) for row in history]
            axes.plot(
                [row["epoch"] for row in history],
                values,
                style,
                marker="." if len(values) == 1 else None,
                color=color,
                linewidth=1.2,
                label=label and f"{label}, {what}",
            )


def _leave_out_the_fall(axes: Axes) -> None:
    """Sets the vertical limits so that the steep fall at the beginning is left out."""
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
