"""Judge a trained run: python -m vae_tf.evaluate --run runs/x"""

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from vae_tf.config import LARGEST_COUNT, Config, Seed, UserPath
from vae_tf.data.spec import examples_noun
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.metrics.suite import Scores, Subject
    from vae_tf.report.ranking import Evaluation
    from vae_tf.runs.run_dir import RunDir

COMMAND = "python -m vae_tf.evaluate"


class EvaluateSettings(Config):
    """What decides the numbers of an evaluation."""

    split: Literal["test", "val"] = "test"
    """Pictures to measure on."""
    nll_samples: int = Field(100, ge=1, le=LARGEST_COUNT)
    """Posterior draws per picture for the likelihood."""
    nll_images: int = Field(500, ge=2, le=LARGEST_COUNT)
    """Pictures for the likelihood, the first of the split."""
    features: Literal["classifier", "inception"] = "classifier"
    """Space in which samples are set beside real pictures."""


class EvaluateOptions(EvaluateSettings):
    """Measure a trained run on held-out pictures, print a table and write metrics.json into the run folder."""

    run: UserPath
    """Run folder, as runs/x."""
    data_dir: UserPath | None = None
    """Where the pictures are now. Default: where the run found them."""
    seed: Seed = 0
    """Seed of every draw."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""

    def settings(self) -> EvaluateSettings:
        """Returns the part that decides what is measured."""
        return EvaluateSettings(**{name: getattr(self, name) for name in EvaluateSettings.model_fields})


def evaluate_run(run: "RunDir", settings: EvaluateSettings, seed: int = 0) -> dict[str, Any]:
    """Measures a run, writes `metrics.json`, `per_image.npz` and `report.html` into its folder, returns the first.

    Call `load_tensorflow()` before.

    Args:
        run: A finished run.
        settings: What to measure on and how long.
        seed: Seed of every draw.

    Raises:
        InputError: The run is not finished or damaged, its data can't be read or is too little, or the features
            can't be had.
    """
    from vae_tf.backend.devices import errors_in_one_line
    from vae_tf.data.catalog import load_splits
    from vae_tf.metrics.suite import Subject
    from vae_tf.report.ranking import Evaluation

    config = run.read_config()
    splits = load_splits(config)
    examples = splits.test if settings.split == "test" else splits.val
    if examples is None:
        raise InputError("split=val needs a run that held a part out. Received: val_fraction=0; use --split test")
    model = run.load_model()
    run.check_fits(model, splits.spec)
    with errors_in_one_line():
        subject = Subject(config, splits, settings.split, examples, model, seed)
        scores, results = _measured(subject, settings)
    per_image = {name: score.per_example for name, score in scores.items() if score.per_example is not None}
    _write_report(run, Evaluation(config, results, per_image))
    run.write_metrics(results, per_image)  # last: a run that has its metrics has been evaluated to the end
    return results


def _write_report(run: "RunDir", evaluation: "Evaluation") -> None:
    from vae_tf.report import comparison, html

    name = run.path.name
    alone = comparison.compared({name: run}, {name: evaluation})
    run.write_report(html.page(name, comparison.lead(alone), comparison.sections(alone)))


def _measured(subject: "Subject", settings: EvaluateSettings) -> tuple["Scores", dict[str, Any]]:
    """The scores, and everything that `metrics.json` says."""
    from vae_tf.metrics import suite
    from vae_tf.metrics.probe import probe_scores
    from vae_tf.metrics.rows import RowJudge

    train = suite.whole_train_split(subject.config)
    try:
        judge = (suite.SampleJudge if subject.is_of_pictures else RowJudge)(subject, train, settings.features)
        samples, references = judge.model_scores(), judge.reference_scores()
    except suite.TooFewPicturesError as error:
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
        "settings": {**settings.model_dump(), "seed": subject.seed},
        "metrics": {name: score.as_dict() for name, score in scores.items()},
        "kl_per_dimension": {"values": [round(float(v), 6) for v in per_dimension], "unit": "nats"},
        "references": {name: {key: s.as_dict() for key, s in row.items()} for name, row in references.items()},
    }


def likelihood_scores(subject: "Subject", settings: EvaluateSettings) -> "Scores":
    """Returns the ELBO and its parts, the importance-sampled likelihood, and bits per dimension where it has them."""
    from vae_tf.metrics.elbo import elbo_per_image, images_per_step
    from vae_tf.metrics.estimate import mean_estimate

    nats, seed, model = f"nats per {subject.splits.spec.noun}", subject.seed, subject.model
    terms = elbo_per_image(model, subject.batches(images_per_step(model, 1)), seed)
    scores = {
        "elbo": mean_estimate(-terms.negative_elbo, nats, seed, num_samples=1),
        "reconstruction_loss": mean_estimate(terms.reconstruction_loss, nats, seed, num_samples=1),
        "kl_loss": mean_estimate(terms.kl_loss, nats, seed, num_samples=1),
    }
    values = _importance_sampled(subject, settings)
    support = model.likelihood.support
    is_likelihood = support != "binary" or all(np.isin(batch, (0, 1)).all() for batch in subject.pictures())
    if not is_likelihood:
        note = "a Bernoulli likelihood on grey values: a bound to compare runs with, not an NLL"
        bound = mean_estimate(values, nats, seed, num_samples=settings.nll_samples, note=note)
        return {**scores, "cross_entropy_bound": bound}
    nll = mean_estimate(values, nats, seed, num_samples=settings.nll_samples)
    per_dim = 1 / (math.prod(subject.splits.spec.example_shape) * math.log(2))
    note = "of a density, not of 8-bit values" if support == "continuous" else ""
    bits = mean_estimate(values * per_dim, "bits per dimension", seed, num_samples=settings.nll_samples, note=note)
    return {**scores, "nll": nll, "bits_per_dim": bits}


def _importance_sampled(subject: "Subject", settings: EvaluateSettings) -> np.ndarray:
    from tqdm import tqdm

    from vae_tf.metrics.elbo import images_per_step, nll_batches

    count = min(settings.nll_images, len(subject.examples))
    step = images_per_step(subject.model, settings.nll_samples)
    _announce(subject, count, step, settings.nll_samples)
    results = []
    with tqdm(total=count, desc="likelihood", unit=" images", leave=False, disable=not sys.stdout.isatty()) as bar:
        for values in nll_batches(subject.model, subject.batches(step, count), settings.nll_samples, subject.seed):
            results.append(values)
            bar.update(len(values))
    return np.concatenate(results)


def _announce(subject: "Subject", count: int, step: int, num_samples: int) -> None:
    """Says how long the likelihood will take, from one block of draws for one step of images."""
    from vae_tf.metrics.elbo import SAMPLES_PER_BLOCK, nll_batches

    pilot = min(num_samples, SAMPLES_PER_BLOCK)
    batches = list(subject.batches(step, min(step, count)))
    runs = nll_batches(subject.model, batches * 2, pilot, subject.seed)
    next(runs)  # compiles
    began = time.perf_counter()
    next(runs)
    seconds = (time.perf_counter() - began) * (num_samples / pilot) * (count / min(step, count))
    what = f"{count:,} {examples_noun(subject.splits.spec.example_shape)} from {num_samples:,} samples each"
    print(f"Likelihood of {what}: about {max(1, round(seconds)):,} s", flush=True)


def print_table(results: dict[str, Any]) -> None:
    """Prints the scores with their errors, and the reference rows under those they stand beside."""
    noun = examples_noun(results["example_shape"])
    for name, score in results["metrics"].items():
        print(_line(name, score, noun))
        for row, references in results["references"].items():
            if name in references:
                print(_line(f"  {row}", references[name], noun))


def _line(name: str, score: dict[str, Any], noun: str) -> str:
    count = score.get("num_samples")
    samples = f", {count:,} sample{'s' * (count > 1)}" if count else ""
    note = f"; {score['note']}" if "note" in score else ""
    value = f"{score['value']:>12.4f} +- {score['standard_error']:<10.4f}"
    return f"{name:48} {value} {score['unit']} ({score['num_examples']:,} {noun}{samples}{note})"


def main(options: EvaluateOptions) -> None:
    """Runs the command."""
    from vae_tf.runs.run_dir import RunDir

    run = RunDir.open(Path(options.run), options.data_dir)
    run.check_finished()
    load_tensorflow()

    from vae_tf.backend.devices import use_device

    use_device(options.device)
    print_table(evaluate_run(run, options.settings(), options.seed))
    print(run.metrics_path)
    print(run.report_path)


if __name__ == "__main__":
    cli.run(main, EvaluateOptions, COMMAND)
