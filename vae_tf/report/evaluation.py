"""The evaluation of a run: what is measured, and the files that are written into the run folder."""

import sys
from typing import Any

from vae_tf.backend.devices import as_input_errors
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.metrics import suite
from vae_tf.metrics.likelihood import likelihood_scores
from vae_tf.metrics.probe import probe_scores
from vae_tf.metrics.suite import Scores, Subject
from vae_tf.model.sampler import sampler_name
from vae_tf.report import html
from vae_tf.report.comparison import Comparison, view_of
from vae_tf.report.comparison_page import lead, sections
from vae_tf.report.ranking import Evaluation
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support.errors import InputError


def evaluate_run(run: LoadedRun, settings: EvaluationConfig, seed: int = 0) -> Evaluation:
    """Evaluates a run, and writes `per_image.npz`, `report.html` and `metrics.json` into its folder.

    Args:
        run: The run.
        settings: Options of the evaluation.
        seed: Seed of all draws.

    Raises:
        InputError: The model or the data can't be read, there is too little data, or the features are not available.
    """
    examples = run.splits.test if settings.split == "test" else run.splits.val
    if examples is None:
        raise InputError("split=val needs a run that held a part out. Received: val_fraction=0; use --split test")
    run.check_fits()
    with as_input_errors():
        subject = Subject(run.config, run.splits, settings.split, examples, run.model, seed, run.sampler)
        scores, results = _measured(subject, settings)
    per_image = {name: score.per_example for name, score in scores.items() if score.per_example is not None}
    evaluation = Evaluation(run.config, results, per_image)
    name = run.folder.path.name
    alone = Comparison.of({name: evaluation}, {name: run.folder.read_history()}, {name: view_of(run)})
    run.folder.write_report(html.page(name, lead(alone), sections(alone)))
    run.folder.write_metrics(results, per_image)  # last: if metrics.json exists, the evaluation is complete
    return evaluation


def _measured(subject: Subject, settings: EvaluationConfig) -> tuple[Scores, dict[str, Any]]:
    """Returns the metrics, and everything that goes into `metrics.json`."""
    train = subject.splits.whole_train
    try:
        judge = subject.splits.spec.modality.sample_metrics(subject, train, settings.features)
        samples, references = judge.model_scores(), judge.reference_scores()
    except suite.TooFewImagesError as error:
        print(f"warning: {error}; they are left out", file=sys.stderr)
        samples, references = {}, {}
    latents, per_dimension = suite.latent_scores(subject)
    probe, probe_references = probe_scores(subject, train)
    scores = {
        **likelihood_scores(subject, settings),
        **latents,
        **probe,
        **suite.reconstruction_scores(subject),
        **samples,
    }
    references = {**references, **probe_references}
    return scores, {
        "dataset": subject.config.dataset,
        "example_shape": list(subject.splits.spec.example_shape),
        "likelihood": subject.config.likelihood,
        "pictures_sha256": suite.fingerprint(subject.pictures()),
        "settings": {**settings.model_dump(), "seed": subject.seed, "sampler": sampler_name(subject.sampler)},
        "metrics": {name: score.as_dict() for name, score in scores.items()},
        "kl_per_dimension": {"values": [round(float(v), 6) for v in per_dimension], "unit": "nats"},
        "references": {name: {key: s.as_dict() for key, s in row.items()} for name, row in references.items()},
    }
