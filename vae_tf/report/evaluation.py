"""The evaluation of a run: computes its metrics and writes them to the run folder, with a report."""

import sys
from typing import Any

from vae_tf.backend.devices import convert_runtime_errors
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.metrics import suite
from vae_tf.metrics.likelihood import likelihood_metrics
from vae_tf.metrics.probe import probe_metrics
from vae_tf.metrics.suite import Estimates, EvaluationContext
from vae_tf.model.sampler import sampler_name
from vae_tf.report import html
from vae_tf.report.comparison import Comparison, create_view
from vae_tf.report.comparison_page import lead, sections
from vae_tf.report.metric_comparison import Evaluation
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support.errors import InputError


def evaluate_run(run: LoadedRun, settings: EvaluationConfig, seed: int = 0) -> Evaluation:
    """Evaluates a run, and writes `per_image.npz`, `report.html` and `metrics.json` to its folder.

    Args:
        run: The run.
        settings: Options of the evaluation.
        seed: Random seed.

    Raises:
        InputError: The model or the data can't be read, there is too little data, or the feature space is
            not available.
    """
    examples = run.splits.test if settings.split == "test" else run.splits.val
    if examples is None:
        raise InputError("split=val needs a run with a validation split. Received: val_fraction=0; use --split test")
    run.check_compatible()
    with convert_runtime_errors():
        context = EvaluationContext(run.config, run.splits, settings.split, examples, run.model, seed, run.sampler)
        estimates, results = _measure(context, settings)
    per_image = {name: estimate.per_example for name, estimate in estimates.items() if estimate.per_example is not None}
    evaluation = Evaluation(run.config, results, per_image)
    name = run.folder.path.name
    single_run_comparison = Comparison.from_evaluations(
        {name: evaluation}, {name: run.folder.read_history()}, {name: create_view(run)}
    )
    run.folder.write_report(html.page(name, lead(single_run_comparison), sections(single_run_comparison)))
    run.folder.write_metrics(results, per_image)  # written last: if it exists, the evaluation is complete
    return evaluation


def _measure(context: EvaluationContext, settings: EvaluationConfig) -> tuple[Estimates, dict[str, Any]]:
    """Returns the metrics, and the contents of `metrics.json`."""
    train = context.splits.train_and_val
    try:
        metrics = context.splits.spec.modality.sample_metrics(context, train, settings.features)
        samples, references = metrics.model_metrics(), metrics.reference_metrics()
    except suite.TooFewImagesError as error:
        print(f"warning: {error}; sample metrics are skipped", file=sys.stderr)
        samples, references = {}, {}
    latents, per_dimension = suite.latent_metrics(context)
    probe, probe_references = probe_metrics(context, train)
    estimates = {
        **likelihood_metrics(context, settings),
        **latents,
        **probe,
        **suite.reconstruction_metrics(context),
        **samples,
    }
    references = {**references, **probe_references}
    return estimates, {
        "dataset": context.config.dataset,
        "example_shape": list(context.splits.spec.example_shape),
        "likelihood": context.config.likelihood,
        "pictures_sha256": suite.sha256_of(context.images()),
        "settings": {**settings.model_dump(), "seed": context.seed, "sampler": sampler_name(context.sampler)},
        "metrics": {name: estimate.as_dict() for name, estimate in estimates.items()},
        "kl_per_dimension": {"values": [round(float(v), 6) for v in per_dimension], "unit": "nats"},
        "references": {name: {key: s.as_dict() for key, s in row.items()} for name, row in references.items()},
    }
