"""The ELBO, the importance-sampled likelihood and bits per dimension of a run."""

import math
import sys

import numpy as np
from tqdm import tqdm

from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.metrics.elbo import NLLEstimator, elbo_per_image, max_batch_size
from vae_tf.metrics.metric import METRICS
from vae_tf.metrics.suite import Estimates, EvaluationContext


def likelihood_metrics(context: EvaluationContext, settings: EvaluationConfig) -> Estimates:
    """Returns the ELBO, its two terms, the importance-sampled NLL and bits per dimension.

    A Bernoulli likelihood on pixel intensities has no NLL; `cross_entropy_bound` then replaces the last two.
    """
    seed, model, modality = context.seed, context.model, context.splits.spec.modality
    terms = elbo_per_image(model, context.batches(max_batch_size(model, 1)), seed)
    values_by_name = {
        "elbo": -terms.negative_elbo,
        "reconstruction_loss": terms.reconstruction_loss,
        "kl_loss": terms.kl_loss,
    }
    estimates = {
        name: METRICS[name].mean(values, seed, modality, num_samples=1) for name, values in values_by_name.items()
    }
    values, num_samples = _estimate_nll(context, settings), settings.nll_samples
    support = model.likelihood.support
    is_likelihood = support != "binary" or all(np.isin(batch, (0, 1)).all() for batch in context.images())
    if not is_likelihood:
        note = "Bernoulli likelihood on pixel intensities: usable for comparing runs, but not an NLL"
        bound = METRICS["cross_entropy_bound"].mean(values, seed, modality, num_samples=num_samples, note=note)
        return {**estimates, "cross_entropy_bound": bound}
    nll = METRICS["nll"].mean(values, seed, modality, num_samples=num_samples)
    per_dim = 1 / (math.prod(context.splits.spec.example_shape) * math.log(2))
    note = (
        "from a continuous density; not comparable with bits per dimension of 8-bit values"
        if support == "continuous"
        else ""
    )
    bits = METRICS["bits_per_dim"].mean(values * per_dim, seed, modality, num_samples=num_samples, note=note)
    return {**estimates, "nll": nll, "bits_per_dim": bits}


def _estimate_nll(context: EvaluationContext, settings: EvaluationConfig) -> np.ndarray:
    count = min(settings.nll_images, len(context.examples))
    batch_size = max_batch_size(context.model, settings.nll_samples)
    estimator = NLLEstimator(context.model, settings.nll_samples, context.seed)
    first_batch, *_ = context.batches(batch_size, min(batch_size, count))
    seconds = estimator.seconds_per_batch(first_batch) * count / min(batch_size, count)
    what = f"{count:,} {context.splits.spec.modality.plural} with {settings.nll_samples:,} samples each"
    print(f"Estimating the likelihood of {what}: about {max(1, round(seconds)):,} s", flush=True)
    results = []
    with tqdm(total=count, desc="likelihood", unit=" images", leave=False, disable=not sys.stdout.isatty()) as bar:
        for values in estimator.estimate(context.batches(batch_size, count)):
            results.append(values)
            bar.update(len(values))
    return np.concatenate(results)
