"""What a comparison shows: the same draws and the same pictures side by side, curves overlaid, scores in a table."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.config import RunConfig
from vae_tf.data.catalog import Splits, load_splits
from vae_tf.data.pipeline import first_batch
from vae_tf.data.spec import examples_noun
from vae_tf.metrics.probe import REFERENCES as PROBE_REFERENCES
from vae_tf.plots import drawing
from vae_tf.report import html, latent_page
from vae_tf.report.html import Cell, Section, Table
from vae_tf.report.latent_page import LatentView
from vae_tf.report.ranking import CONFIDENCE, HIGHER, Evaluation, Group, Pooled, Row, pool, rows
from vae_tf.runs.run_dir import RunDir

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE, Observed

NUM_SAMPLES, COLUMNS = 32, 8
NUM_RECONSTRUCTIONS = 10
SEED = 0
REFUSED = "not compared"
ARROWS = {HIGHER: " ↑", 0: "", -HIGHER: " ↓"}

Histories = dict[str, list[list[dict[str, float]]]]


class Comparison(NamedTuple):
    """Groups of runs side by side; dictionaries are by the group's label.

    Attributes:
        groups: Runs that differ by their seed alone.
        rows: The scores.
        samples: Prior samples `(N, H, W, C)` of each group's first run, from the same latent draws.
        reconstructions: The same test pictures, and below each group's reconstructions of them `(N, H, W, C)`.
        latents: The latents of each group's first run.
        histories: A list of histories for each group.
        evaluations: What is known of each run, by the run's name.
    """

    groups: list[Group]
    rows: list[Row]
    samples: dict[str, np.ndarray]
    reconstructions: dict[str, np.ndarray]
    latents: dict[str, LatentView]
    histories: Histories
    evaluations: Mapping[str, Evaluation]

    @property
    def references(self) -> dict[str, dict[str, Any]]:
        """The scores that make those of the samples readable, from the first run's `metrics.json`."""
        return self.evaluations[self.groups[0].runs[0]].metrics["references"]


def evaluation_of(run: RunDir) -> Evaluation:
    """Returns what `evaluate` wrote into a run folder."""
    return Evaluation(run.read_config(), run.read_metrics(), run.read_per_image())


def compared(runs: Mapping[str, RunDir], evaluations: Mapping[str, Evaluation]) -> Comparison:
    """Returns the comparison of evaluated runs.

    Call `load_tensorflow()` before.

    Args:
        runs: Finished runs by name.
        evaluations: What is known of each, by the same names.

    Raises:
        InputError: Two runs are one, a model is damaged, or the data can't be read.
    """
    groups = pool([(name, evaluation.config) for name, evaluation in evaluations.items()])
    samples, originals, reconstructions, latents = {}, {}, {}, {}
    for group in groups:
        model = runs[group.runs[0]].load_model()
        config = evaluations[group.runs[0]].config
        splits = load_splits(config)
        of_points = drawing.is_of_points(model)
        seen = _shown(model, config, splits)
        originals[group.label] = seen.target
        latents[group.label] = latent_page.latent_view(model, config, splits)
        samples[group.label] = model.sample(drawing.POINTS if of_points else NUM_SAMPLES, SEED, mean=not of_points)
        given = {} if seen.inputs is seen.target else {f"{group.label} was given": seen.inputs}
        reconstructions[group.label] = {**given, group.label: model.reconstruct(seen.inputs, seen.labels)}
    return Comparison(
        groups,
        rows(groups, evaluations),
        samples,
        _originals_above(originals, reconstructions),
        latents,
        {group.label: [runs[name].read_history() for name in group.runs] for group in groups},
        evaluations,
    )


def samples_figure(comparison: Comparison) -> Figure:
    """Returns the grids of prior samples next to each other."""
    return plots.side_by_side(comparison.samples, COLUMNS)


def reconstructions_figure(comparison: Comparison) -> Figure:
    """Returns test pictures and below them each group's reconstructions."""
    return plots.labelled_rows(comparison.reconstructions)


def curves_figure(comparison: Comparison) -> Figure:
    """Returns the learning curves of all runs in the same axes."""
    return plots.compared_curves(comparison.histories)


def curves_refused(comparison: Comparison) -> str:
    """Why the learning curves may not share their axes, or an empty text."""
    return next(row.refused for row in comparison.rows if row.name == "elbo")


def score_table(comparison: Comparison) -> Table:
    """Returns the scores of each group, the winner marked, with the difference where there are two groups."""
    labels = [_counted(group) for group in comparison.groups]
    two = len(comparison.groups) == 2
    header = ["score", *labels, *([f"difference ({CONFIDENCE:.0%})"] if two else []), "unit"]
    return Table(header, [_score_row(row, comparison.groups, two) for row in comparison.rows])


def how_to_read(comparison: Comparison) -> list[str]:
    """Returns the sentences that explain the score table, with what could not be compared and why."""
    sentences = [
        "Arrows show what is better; a score without one describes and ranks nothing.",
        "± is the standard deviation over seeds where a group has several, else the standard error over examples.",
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
    """Returns the sample scores of the groups beside those of training pictures, noise and simple generators."""
    return _beside(comparison, [name for name in comparison.references if name not in PROBE_REFERENCES])


def probe_table(comparison: Comparison) -> Table:
    """Returns the accuracy of a linear probe on the latents beside that on pixels and on principal components."""
    return _beside(comparison, [name for name in comparison.references if name in PROBE_REFERENCES])


def sections(comparison: Comparison) -> list[Section]:
    """Returns the parts of the page."""
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
    """Returns the sentence that says what is compared on what."""
    data = {
        f"{evaluation.metrics['dataset']}, {'x'.join(map(str, evaluation.metrics['example_shape']))}, "
        f"{evaluation.metrics['settings']['split']} split of "
        f"{evaluation.metrics['metrics']['elbo']['num_examples']:,} "
        f"{examples_noun(evaluation.metrics['example_shape'])}"
        for evaluation in comparison.evaluations.values()
    }
    return f"{' against '.join(map(_counted, comparison.groups))} on {'; '.join(sorted(data))}."


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Returns groups and scores with every number unrounded."""
    return {
        "groups": {group.label: list(group.runs) for group in comparison.groups},
        "scores": {row.name: _row_as_json(row) for row in comparison.rows},
        "references": comparison.references,
    }


def _beside(comparison: Comparison, names: Sequence[str]) -> Table:
    """The scores of the groups that some references have too, and those of the references."""
    references = {name: comparison.references[name] for name in names}
    labels = [group.label for group in comparison.groups]
    lines = []
    for row in comparison.rows:
        if references and all(row.name in scores for scores in references.values()):
            ours = [_told(row.groups[label]) if row.groups else REFUSED for label in labels]
            theirs = [html.number(s[row.name]["value"], s[row.name]["standard_error"]) for s in references.values()]
            lines.append([Cell(row.name + ARROWS[row.better]), *map(Cell, ours), *map(Cell, theirs)])
    return Table(["score", *labels, *(name.replace("_", " ") for name in references)], lines)


def _reference_sections(comparison: Comparison) -> list[Section]:
    """What makes scores readable; samples have none where examples were too few, a probe where there are no classes."""
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
        html.picture(plots.side_by_side({label: images}, COLUMNS), f"{len(images)} prior samples of {label}")
        for label, images in comparison.samples.items()
    ]
    latents = "the same latent draws, place by place" if same_latents else "one seed; the latent spaces differ in size"
    return Section("Prior samples", f"The first run of each group, from {latents}.", pictures)


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


def _shown(model: "VAE", config: RunConfig, splits: Splits) -> "Observed":
    """The first test examples, as the model sees them."""
    count = drawing.POINTS if drawing.is_of_points(model) else NUM_RECONSTRUCTIONS
    return model.observed(first_batch(splits.test, config, splits.spec.example_shape, "test", count))


def _originals_above(
    originals: Mapping[str, np.ndarray], reconstructions: Mapping[str, dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """One row of originals where all groups have the same, else each group's own above its rows."""
    first = next(iter(originals.values()))
    same = all(np.array_equal(first, each) for each in originals.values())
    rows = {"originals": first} if same else {}
    for label, of_group in reconstructions.items():
        rows |= of_group if same else {f"originals of {label}": originals[label], **of_group}
    return rows


def _counted(group: Group) -> str:
    return group.label if len(group.runs) == 1 else f"{group.label} ({len(group.runs)} seeds)"


def _told(pooled: Pooled) -> str:
    return html.number(pooled.mean, pooled.standard_error if pooled.seeds_sd is None else pooled.seeds_sd)


def _score_row(row: Row, groups: Sequence[Group], with_difference: bool) -> list[Cell]:
    if row.refused:
        values = [Cell(REFUSED)] * (len(groups) + with_difference)
    else:
        told = [(group.label, _told(row.groups[group.label])) for group in groups]
        values = [Cell(text, "best" if label == row.winner else "") for label, text in told]
        values += [Cell(html.number(d.value, d.margin)) for d in row.differences.values() if with_difference]
    return [Cell(row.name + ARROWS[row.better]), *values, Cell("" if row.unit == "1" else row.unit)]


def _refusals(comparison: Comparison) -> dict[str, list[str]]:
    """The names of the scores that can't be compared, by the reason."""
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
            told = html.number(elbo["value"], elbo["standard_error"])
            cells = (name, group.label, evaluation.config.seed, evaluation.config.epochs, told)
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
