"""Presents a comparison as figures, tables and sections of a page, and writes them to a folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.data.modality import get_modality
from vae_tf.metrics.metric import HIGHER
from vae_tf.metrics.probe import REFERENCES as PROBE_REFERENCES
from vae_tf.registry import PRIOR
from vae_tf.report import html, latent_page
from vae_tf.report.comparison import Comparison
from vae_tf.report.html import Cell, Section, Table
from vae_tf.report.metric_comparison import CONFIDENCE, Group, GroupMetric, MetricComparison
from vae_tf.support.files import atomic_write
from vae_tf.support.redaction import redact

COLUMNS = 8
NOT_COMPARED = "not compared"
ARROWS = {HIGHER: " ↑", 0: "", -HIGHER: " ↓"}
# Column headings of the references whose key in `metrics.json` is not shown as it is.
REFERENCE_NAMES = {"train_pictures": "train images"}


def write(comparison: Comparison, out: Path) -> dict[str, Path]:
    """Writes the files of the comparison to a folder, and returns their paths, keyed by a description.

    Args:
        comparison: The comparison.
        out: The folder.
    """
    table = metric_table(comparison)
    labels = " vs. ".join(group.label for group in comparison.groups)
    page = html.page(labels, lead(comparison), sections(comparison))
    markdown = f"{table.markdown()}\n{' '.join(table_notes(comparison))}\n"
    texts = {
        "Report": ("report.html", page),
        "Markdown table": ("compare.md", redact(markdown)),
        "JSON": ("compare.json", redact(json.dumps(as_json(comparison), indent=2)) + "\n"),
    }
    figures = {
        "Samples": ("samples.png", samples_figure(comparison)),
        "Reconstructions": ("reconstructions.png", reconstructions_figure(comparison)),
    }
    if not explain_missing_curves(comparison):
        figures["Curves"] = ("curves.png", curves_figure(comparison))
    for name, text in texts.values():
        with atomic_write(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
    for name, figure in figures.values():
        with atomic_write(out / name) as partial:
            plots.save(figure, partial)
    return {what: out / name for what, (name, _) in (figures | texts).items()}


def samples_figure(comparison: Comparison) -> Figure:
    """Returns a figure of each group's samples, next to each other."""
    return comparison.modality.figures.side_by_side(comparison.samples, COLUMNS)


def reconstructions_figure(comparison: Comparison) -> Figure:
    """Returns a figure of test examples, with each group's reconstructions below them."""
    return comparison.modality.figures.rows_with_headings(comparison.reconstructions)


def curves_figure(comparison: Comparison) -> Figure:
    """Returns a figure of the learning curves of all runs on the same axes."""
    return plots.comparison_curves(comparison.histories)


def explain_missing_curves(comparison: Comparison) -> str:
    """Returns why the learning curves are not plotted together, or an empty string."""
    return next(row.incomparable_reason for row in comparison.rows if row.name == "elbo")


def metric_table(comparison: Comparison) -> Table:
    """Returns the metrics of each group with the best value marked, and the difference between two groups."""
    labels = [_label_with_seeds(group) for group in comparison.groups]
    has_difference = len(comparison.groups) == 2
    header = ["metric", *labels, *([f"difference ({CONFIDENCE:.0%} CI)"] if has_difference else []), "unit"]
    return Table(header, [_metric_cells(row, comparison.groups, has_difference) for row in comparison.rows])


def table_notes(comparison: Comparison) -> list[str]:
    """Returns sentences that explain the table of metrics, and why some metrics are not compared."""
    sentences = [
        "Arrows show the direction of improvement; metrics without an arrow are descriptive.",
        "± is the standard deviation over seeds for groups with several seeds, otherwise the standard error over "
        "examples.",
    ]
    sentences += [f"{group.label}: {group.options}." for group in comparison.groups if group.label != group.options]
    sentences += [
        f"Samples of {name} come from its {sampler} sampler, not from its prior."
        for name, evaluation in comparison.evaluations.items()
        if (sampler := evaluation.metrics["settings"].get("sampler") or PRIOR) != PRIOR
    ]
    if len(comparison.groups) > 1:
        sentences.append(
            f"The best value is marked if the {CONFIDENCE:.0%} confidence interval of its difference from every other "
            "value excludes zero. The interval is paired over examples and includes the variance between seeds."
        )
        if any(len(group.runs) == 1 for group in comparison.groups):
            sentences.append("With a single seed, a difference may not hold for other seeds.")
    notes = dict.fromkeys(f"{row.name}: {row.note}." for row in comparison.rows if row.note)
    not_compared = [
        f"Not compared: {', '.join(names)} ({reason})." for reason, names in _group_by_reason(comparison).items()
    ]
    return [*sentences, *notes, *not_compared]


def reference_table(comparison: Comparison) -> Table:
    """Returns the sample metrics of the groups, training images and baseline generators, next to each other."""
    return _with_references(comparison, [name for name in comparison.references if name not in PROBE_REFERENCES])


def probe_table(comparison: Comparison) -> Table:
    """Returns the accuracy of linear probes on latents, pixels and principal components, next to each other."""
    return _with_references(comparison, [name for name in comparison.references if name in PROBE_REFERENCES])


def sections(comparison: Comparison) -> list[Section]:
    """Returns the sections of the page."""
    return [
        _samples_section(comparison),
        _reconstructions_section(comparison),
        *latent_page.sections(comparison.latents),
        _curves_section(comparison),
        Section("Metrics", " ".join(table_notes(comparison)), table=metric_table(comparison)),
        *_reference_sections(comparison),
        Section("Runs", table=_runs_table(comparison)),
    ]


def lead(comparison: Comparison) -> str:
    """Returns a sentence about which runs are compared, and on which data."""
    data = {
        f"{evaluation.metrics['dataset']}, {'x'.join(map(str, evaluation.metrics['example_shape']))}, "
        f"{evaluation.metrics['settings']['split']} split of "
        f"{evaluation.metrics['metrics']['elbo']['num_examples']:,} "
        f"{get_modality(evaluation.metrics['example_shape']).plural}"
        for evaluation in comparison.evaluations.values()
    }
    return f"{' vs. '.join(map(_label_with_seeds, comparison.groups))} on {'; '.join(sorted(data))}."


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Returns the contents of `compare.json`: the groups and the metrics, with unrounded numbers."""
    return {
        "groups": {group.label: list(group.runs) for group in comparison.groups},
        "scores": {row.name: _row_as_json(row) for row in comparison.rows},
        "references": comparison.references,
    }


def _with_references(comparison: Comparison, names: Sequence[str]) -> Table:
    """Returns the metrics that the groups and the named references share, next to each other."""
    references = {name: comparison.references[name] for name in names}
    labels = [group.label for group in comparison.groups]
    lines = []
    for row in comparison.rows:
        if references and all(row.name in metrics for metrics in references.values()):
            group_cells = [_format_value(row.groups[label]) if row.groups else NOT_COMPARED for label in labels]
            reference_cells = [
                html.format_number(s[row.name]["value"], s[row.name]["standard_error"]) for s in references.values()
            ]
            lines.append([Cell(row.name + ARROWS[row.direction]), *map(Cell, group_cells), *map(Cell, reference_cells)])
    return Table(
        ["metric", *labels, *(REFERENCE_NAMES.get(name, name.replace("_", " ")) for name in references)], lines
    )


def _reference_sections(comparison: Comparison) -> list[Section]:
    """Returns the sections with reference values.

    The sample metrics are missing if there were too few examples, and the probe is missing for unlabelled data.
    """
    samples_section = Section(
        "Sample metrics: reference values",
        "The same metrics for training examples and for baseline generators: a Gaussian and a Gaussian mixture, fitted "
        "to as many principal components as the first run has latent dimensions, and noise (for images only).",
        table=reference_table(comparison),
    )
    probe_section = Section(
        "Linear probe on the latents",
        "Accuracy of a linear classifier on the posterior means, on the pixels, and on as many principal components of "
        "the pixels as the first run has latent dimensions.",
        table=probe_table(comparison),
    )
    return [section for section in (samples_section, probe_section) if section.table and section.table.rows]


def _samples_section(comparison: Comparison) -> Section:
    has_same_latents = len({evaluation.config.latent_dim for evaluation in comparison.evaluations.values()}) == 1
    figures = [
        html.image(
            comparison.modality.figures.side_by_side({label: images}, COLUMNS),
            f"{len(images)} samples of {label}",
        )
        for label, images in comparison.samples.items()
    ]
    latents = (
        "the same latent samples, position by position"
        if has_same_latents
        else "the same seed; the latent spaces differ in dimension"
    )
    runs = _first_runs(comparison)
    text = f"Samples of {runs}, from {latents}." if len(comparison.groups) > 1 else f"Samples of {runs}."
    return Section("Samples", text, figures)


def _reconstructions_section(comparison: Comparison) -> Section:
    alt = f"Test examples, and below them their reconstructions by {_labels(comparison)}"
    image = html.image(reconstructions_figure(comparison), alt, is_wide=True)
    return Section("Reconstructions", f"Decoded posterior means of {_first_runs(comparison)}.", [image])


def _curves_section(comparison: Comparison) -> Section:
    reason = explain_missing_curves(comparison)
    if reason:
        return Section("Learning curves", f"The curves are not plotted together: {reason}.")
    text = "Dashed lines: training; solid lines: validation; one of each per run. The steep initial drop is cut off."
    figures = [
        html.image(plots.comparison_curves(comparison.histories, [name]), f"{name} of {_labels(comparison)} by epoch")
        for name in plots.COMPARISON_PANELS
    ]
    return Section("Learning curves", text, figures)


def _labels(comparison: Comparison) -> str:
    return " and ".join(group.label for group in comparison.groups)


def _first_runs(comparison: Comparison) -> str:
    return "the first run of each group" if len(comparison.evaluations) > 1 else "the run"


def _label_with_seeds(group: Group) -> str:
    return group.label if len(group.runs) == 1 else f"{group.label} ({len(group.runs)} seeds)"


def _format_value(metric: GroupMetric) -> str:
    return html.format_number(metric.mean, metric.standard_error if metric.seeds_sd is None else metric.seeds_sd)


def _metric_cells(row: MetricComparison, groups: Sequence[Group], has_difference: bool) -> list[Cell]:
    if row.incomparable_reason:
        values = [Cell(NOT_COMPARED)] * (len(groups) + has_difference)
    else:
        texts = [(group.label, _format_value(row.groups[group.label])) for group in groups]
        values = [Cell(text, "best" if label == row.winner else "") for label, text in texts]
        values += [Cell(html.format_number(d.value, d.margin)) for d in row.differences.values() if has_difference]
    return [Cell(row.name + ARROWS[row.direction]), *values, Cell("" if row.unit == "1" else row.unit)]


def _group_by_reason(comparison: Comparison) -> dict[str, list[str]]:
    """Returns the names of the metrics that are not comparable, keyed by the reason."""
    reasons: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.incomparable_reason:
            reasons.setdefault(row.incomparable_reason, []).append(row.name)
    return reasons


def _runs_table(comparison: Comparison) -> Table:
    lines = []
    for group in comparison.groups:
        for name in group.runs:
            evaluation = comparison.evaluations[name]
            elbo = evaluation.metrics["metrics"]["elbo"]
            elbo_text = html.format_number(elbo["value"], elbo["standard_error"])
            cells = (name, group.label, evaluation.config.seed, evaluation.config.epochs, elbo_text)
            lines.append([Cell(str(cell)) for cell in cells])
    return Table(["run", "group", "seed", "epochs", "ELBO, nats per example"], lines)


def _row_as_json(row: MetricComparison) -> dict[str, Any]:
    if row.incomparable_reason:
        return {"unit": row.unit, "refused": row.incomparable_reason}
    return {
        "unit": row.unit,
        "better": {HIGHER: "higher", 0: None, -HIGHER: "lower"}[row.direction],
        "groups": {label: metric._asdict() for label, metric in row.groups.items()},
        "differences": [
            {"of": pair[0], "minus": pair[1], **difference._asdict()} for pair, difference in row.differences.items()
        ],
        "winner": row.winner,
        **({"note": row.note} if row.note else {}),
    }
