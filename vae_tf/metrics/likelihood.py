"""The ELBO, the importance-sampled likelihood and bits per dimension of a run."""

import math
import sys
import time

import numpy as np
from tqdm import tqdm

from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.metrics.elbo import SAMPLES_PER_BLOCK, elbo_per_image, images_per_step, nll_batches
from vae_tf.metrics.metric import METRICS
from vae_tf.metrics.suite import Scores, Subject


def likelihood_scores(subject: Subject, settings: EvaluationConfig) -> Scores:
    """Returns the ELBO, its two terms, the importance-sampled NLL and bits per dimension.

    A Bernoulli likelihood on grey values has no NLL; then `cross_entropy_bound` takes the place of the last two.
    """
    seed, model, modality = subject.seed, subject.model, subject.splits.spec.modality
    terms = elbo_per_image(model, subject.batches(images_per_step(model, 1)), seed)
    parts = {"elbo": -terms.negative_elbo, "reconstruction_loss": terms.reconstruction_loss, "kl_loss": terms.kl_loss}
    scores = {name: METRICS[name].mean(values, seed, modality, num_samples=1) for name, values in parts.items()}
    values, num_samples = _importance_sampled(subject, settings), settings.nll_samples
    support = model.likelihood.support
    is_likelihood = support != "binary" or all(np.isin(batch, (0, 1)).all() for batch in subject.pictures())
    if not is_likelihood:
        note = "a Bernoulli likelihood on grey values: a bound to compare runs with, not an NLL"
        bound = METRICS["cross_entropy_bound"].mean(values, seed, modality, num_samples=num_samples, note=note)
        return {**scores, "cross_entropy_bound": bound}
    nll = METRICS["nll"].mean(values, seed, modality, num_samples=num_samples)
    per_dim = 1 / (math.prod(subject.splits.spec.example_shape) * math.log(2))
    note = "of a density, not of 8-bit values" if support == "continuous" else ""
    bits = METRICS["bits_per_dim"].mean(values * per_dim, seed, modality, num_samples=num_samples, note=note)
    return {**scores, "nll": nll, "bits_per_dim": bits}


def _importance_sampled(subject: Subject, settings: EvaluationConfig) -> np.ndarray:

    count = min(settings.nll_images, len(subject.examples))
    step = images_per_step(subject.model, settings.nll_samples)
    _announce(subject, count, step, settings.nll_samples)
    results = []
    with tqdm(total=count, desc="likelihood", unit=" images", leave=False, disable=not sys.stdout.isatty()) as bar:
        for values in nll_batches(subject.model, subject.batches(step, count), settings.nll_samples, subject.seed):
            results.append(values)
            bar.update(len(values))
    return np.concatenate(results)


def _announce(subject: Subject, count: int, step: int, num_samples: int) -> None:
    """Prints an estimate of how long the likelihood takes, from one block of draws for one step of images."""
    pilot = min(num_samples, SAMPLES_PER_BLOCK)
    batches = list(subject.batches(step, min(step, count)))
    runs = nll_batches(subject.model, batches * 2, pilot, subject.seed)
    next(runs)  # compiles
    began = time.perf_counter()
    next(runs)
    seconds = (time.perf_counter() - began) * (num_samples / pilot) * (count / min(step, count))
    what = f"{count:,} {subject.splits.spec.modality.plural} from {num_samples:,} samples each"
    print(f"Likelihood of {what}: about {max(1, round(seconds)):,} s", flush=True)
