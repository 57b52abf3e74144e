"""Presents a comparison: figures, tables, the sections of a page, and the files of a folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.data.modality import modality_of
from vae_tf.metrics.metric import HIGHER
from vae_tf.metrics.probe import REFERENCES as PROBE_REFERENCES
from vae_tf.model.sampler import PRIOR
from vae_tf.report import html, latent_page
from vae_tf.report.comparison import Comparison
from vae_tf.report.html import Cell, Section, Table
from vae_tf.report.ranking import CONFIDENCE, Group, Pooled, Row
from vae_tf.support.files import replacing
from vae_tf.support.redaction import redacted

COLUMNS = 8
REFUSED = "not compared"
ARROWS = {HIGHER: " ↑", 0: "", -HIGHER: " ↓"}


def write(comparison: Comparison, out: Path) -> dict[str, Path]:
    """Writes the files of the comparison into a folder, and returns their paths by what they contain.

    Args:
        comparison: The comparison.
        out: The folder.
    """
    table = score_table(comparison)
    labels = " against ".join(group.label for group in comparison.groups)
    page = html.page(labels, lead(comparison), sections(comparison))
    markdown = f"{table.markdown()}\n{' '.join(how_to_read(comparison))}\n"
    texts = {
        "Report": ("report.html", page),
        "Markdown table": ("compare.md", redacted(markdown)),
        "Numbers": ("compare.json", redacted(json.dumps(as_json(comparison), indent=2)) + "\n"),
    }
    figures = {
        "Samples": ("samples.png", samples_figure(comparison)),
        "Reconstructions": ("reconstructions.png", reconstructions_figure(comparison)),
    }
    if not curves_refused(comparison):
        figures["Curves"] = ("curves.png", curves_figure(comparison))
    for name, text in texts.values():
        with replacing(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
    for name, figure in figures.values():
        with replacing(out / name) as partial:
            plots.save(figure, partial)
    return {what: out / name for what, (name, _) in (figures | texts).items()}


def samples_figure(comparison: Comparison) -> Figure:
    """Returns the grids of prior samples next to each other."""
    return comparison.modality.figures.side_by_side(comparison.samples, COLUMNS)


def reconstructions_figure(comparison: Comparison) -> Figure:
    """Returns test examples, with each group's reconstructions below them."""
    return comparison.modality.figures.labelled_rows(comparison.reconstructions)


def curves_figure(comparison: Comparison) -> Figure:
    """Returns the learning curves of all runs on the same axes."""
    return plots.compared_curves(comparison.histories)


def curves_refused(comparison: Comparison) -> str:
    """Returns why the learning curves can't share the same axes, or an empty string."""
    return next(row.refused for row in comparison.rows if row.name == "elbo")


def score_table(comparison: Comparison) -> Table:
    """Returns the metrics of each group with the winner marked, and their difference if there are two groups."""
    labels = [_counted(group) for group in comparison.groups]
    two = len(comparison.groups) == 2
    header = ["score", *labels, *([f"difference ({CONFIDENCE:.0%})"] if two else []), "unit"]
    return Table(header, [_score_row(row, comparison.groups, two) for row in comparison.rows])


def how_to_read(comparison: Comparison) -> list[str]:
    """Returns sentences that explain the table of metrics, and what could not be compared and why."""
    sentences = [
        "Arrows show what is better; a score without one describes and ranks nothing.",
        "± is the standard deviation over seeds where a group has several, else the standard error over examples.",
    ]
    sentences += [
        f"Samples of {name} come from its {sampler} sampler, not from its prior."
        for name, evaluation in comparison.evaluations.items()
        if (sampler := evaluation.metrics["settings"].get("sampler") or PRIOR) != PRIOR
    ]
    if len(comparison.groups) > 1:
        sentences.append(
            f"Marked is what is better than every other beyond the {CONFIDENCE:.0%} interval of the difference, which "
            "pairs the examples and counts the spread between seeds."
        )
        if any(len(group.runs) == 1 for group in comparison.groups):
            sentences.append("With a single seed, a difference says nothing of other seeds.")
    notes = dict.fromkeys(f"{row.name}: {row.note}." for row in comparison.rows if row.note)
    refused = [f"Not compared: {', '.join(names)} ({why})." for why, names in _refusals(comparison).items()]
    return [*sentences, *notes, *refused]


def reference_table(comparison: Comparison) -> Table:
    """Returns the sample metrics of the groups, next to those of training images and simple generators."""
    return _beside(comparison, [name for name in comparison.references if name not in PROBE_REFERENCES])


def probe_table(comparison: Comparison) -> Table:
    """Returns the accuracy of a linear probe on the latents, next to that on pixels and principal components."""
    return _beside(comparison, [name for name in comparison.references if name in PROBE_REFERENCES])


def sections(comparison: Comparison) -> list[Section]:
    """Returns the sections of the page."""
    return [
        _samples_section(comparison),
        _reconstructions_section(comparison),
        *latent_page.sections(comparison.latents),
        _curves_section(comparison),
        Section("Scores", " ".join(how_to_read(comparison)), table=score_table(comparison)),
        *_reference_sections(comparison),
        Section("Runs", table=_runs_table(comparison)),
    ]


def lead(comparison: Comparison) -> str:
    """Returns the sentence that says which runs are compared, and on which data."""
    data = {
        f"{evaluation.metrics['dataset']}, {'x'.join(map(str, evaluation.metrics['example_shape']))}, "
        f"{evaluation.metrics['settings']['split']} split of "
        f"{evaluation.metrics['metrics']['elbo']['num_examples']:,} "
        f"{modality_of(evaluation.metrics['example_shape']).plural}"
        for evaluation in comparison.evaluations.values()
    }
    return f"{' against '.join(map(_counted, comparison.groups))} on {'; '.join(sorted(data))}."


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Returns the groups and the metrics, with unrounded numbers."""
    return {
        "groups": {group.label: list(group.runs) for group in comparison.groups},
        "scores": {row.name: _row_as_json(row) for row in comparison.rows},
        "references": comparison.references,
    }


def _beside(comparison: Comparison, names: Sequence[str]) -> Table:
    """Returns the metrics that the groups and some references have in common, next to each other."""
    references = {name: comparison.references[name] for name in names}
    labels = [group.label for group in comparison.groups]
    lines = []
    for row in comparison.rows:
        if references and all(row.name in scores for scores in references.values()):
            ours = [_formatted(row.groups[label]) if row.groups else REFUSED for label in labels]
            theirs = [html.number(s[row.name]["value"], s[row.name]["standard_error"]) for s in references.values()]
            lines.append([Cell(row.name + ARROWS[row.better]), *map(Cell, ours), *map(Cell, theirs)])
    return Table(["score", *labels, *(name.replace("_", " ") for name in references)], lines)


def _reference_sections(comparison: Comparison) -> list[Section]:
    """Returns the sections with reference values.

    There are none for samples if there were too few examples, and none for the probe if there are no classes.
    """
    of_samples = Section(
        "What the sample scores mean",
        "The same scores for training examples and for simple generators: a normal distribution and a mixture of "
        "normals on principal components, as many as the first run has latents, and noise for pictures.",
        table=reference_table(comparison),
    )
    of_probe = Section(
        "What a linear probe reads from the latents",
        "Accuracy of a linear classifier of the posterior means, of the pixels, and of principal components of the "
        "pixels, as many as the first run has latents.",
        table=probe_table(comparison),
    )
    return [section for section in (of_samples, of_probe) if section.table and section.table.rows]


def _samples_section(comparison: Comparison) -> Section:
    same_latents = len({evaluation.config.latent_dim for evaluation in comparison.evaluations.values()}) == 1
    pictures = [
        html.picture(
            comparison.modality.figures.side_by_side({label: images}, COLUMNS),
            f"{len(images)} samples of {label}",
        )
        for label, images in comparison.samples.items()
    ]
    latents = "the same latent draws, place by place" if same_latents else "one seed; the latent spaces differ in size"
    return Section("Samples", f"The first run of each group, from {latents}.", pictures)


def _reconstructions_section(comparison: Comparison) -> Section:
    alt = f"Test examples, and below them their reconstructions by {_labels(comparison)}"
    picture = html.picture(reconstructions_figure(comparison), alt, wide=True)
    return Section("Reconstructions", "The first run of each group, its posterior means decoded.", [picture])


def _curves_section(comparison: Comparison) -> Section:
    refused = curves_refused(comparison)
    if refused:
        return Section("Learning curves", f"Not in the same axes: {refused}.")
    text = "Training dashed, validation solid, a line for each run. The steep beginning is cut off."
    pictures = [
        html.picture(plots.compared_curves(comparison.histories, [name]), f"{name} of {_labels(comparison)} by epoch")
        for name in plots.COMPARED
    ]
    return Section("Learning curves", text, pictures)


def _labels(comparison: Comparison) -> str:
    return " and ".join(group.label for group in comparison.groups)


def _counted(group: Group) -> str:
    return group.label if len(group.runs) == 1 else f"{group.label} ({len(group.runs)} seeds)"


def _formatted(pooled: Pooled) -> str:
    return html.number(pooled.mean, pooled.standard_error if pooled.seeds_sd is None else pooled.seeds_sd)


def _score_row(row: Row, groups: Sequence[Group], with_difference: bool) -> list[Cell]:
    if row.refused:
        values = [Cell(REFUSED)] * (len(groups) + with_difference)
    else:
        formatted = [(group.label, _formatted(row.groups[group.label])) for group in groups]
        values = [Cell(text, "best" if label == row.winner else "") for label, text in formatted]
        values += [Cell(html.number(d.value, d.margin)) for d in row.differences.values() if with_difference]
    return [Cell(row.name + ARROWS[row.better]), *values, Cell("" if row.unit == "1" else row.unit)]


def _refusals(comparison: Comparison) -> dict[str, list[str]]:
    """Returns the names of the metrics that can't be compared, by the reason."""
    reasons: dict[str, list[str]] = {}
    for row in comparison.rows:
        if row.refused:
            reasons.setdefault(row.refused, []).append(row.name)
    return reasons


def _runs_table(comparison: Comparison) -> Table:
    lines = []
    for group in comparison.groups:
        for name in group.runs:
            evaluation = comparison.evaluations[name]
            elbo = evaluation.metrics["metrics"]["elbo"]
            elbo_text = html.number(elbo["value"], elbo["standard_error"])
            cells = (name, group.label, evaluation.config.seed, evaluation.config.epochs, elbo_text)
            lines.append([Cell(str(cell)) for cell in cells])
    return Table(["run", "group", "seed", "epochs", "ELBO, nats per example"], lines)


def _row_as_json(row: Row) -> dict[str, Any]:
    if row.refused:
        return {"unit": row.unit, "refused": row.refused}
    return {
        "unit": row.unit,
        "better": {HIGHER: "higher", 0: None, -HIGHER: "lower"}[row.better],
        "groups": {label: pooled._asdict() for label, pooled in row.groups.items()},
        "differences": [
            {"of": pair[0], "minus": pair[1], **difference._asdict()} for pair, difference in row.differences.items()
        ],
        "winner": row.winner,
        **({"note": row.note} if row.note else {}),
    }
