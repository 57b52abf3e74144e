"""Judge a trained run: python -m vae_tf.evaluate --run runs/x"""

import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from vae_tf import cli
from vae_tf.config import LARGEST_COUNT, LARGEST_SEED, Config, RunConfig, UserPath
from vae_tf.errors import InputError

if TYPE_CHECKING:
    from vae_tf.data.catalog import Splits
    from vae_tf.data.sources import Examples
    from vae_tf.metrics.estimate import Estimate
    from vae_tf.metrics.features import FeatureSpace
    from vae_tf.model.vae import VAE

COMMAND = "python -m vae_tf.evaluate"
LARGEST_SAMPLE = 10_000
MODEL_ROW = "model"

Scores = dict[str, "Estimate"]


class EvaluateOptions(Config):
    """Measure a trained run on held-out pictures, print a table and write metrics.json into the run folder."""

    run: UserPath
    """Run folder, as runs/x."""
    split: Literal["test", "val"] = "test"
    """Pictures to measure on."""
    nll_samples: int = Field(100, ge=1, le=LARGEST_COUNT)
    """Posterior draws per picture for the likelihood."""
    nll_images: int = Field(500, ge=2, le=LARGEST_COUNT)
    """Pictures for the likelihood, the first of the split."""
    features: Literal["classifier", "inception"] = "classifier"
    """Space in which samples are set beside real pictures."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Seed of every draw."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""


class Subject(NamedTuple):
    """What is measured, on what."""

    config: RunConfig
    splits: "Splits"
    split: Literal["test", "val"]
    examples: "Examples"
    model: "VAE"
    seed: int

    def batches(self, size: int, count: int | None = None) -> Iterator[np.ndarray]:
        """Yields the pictures of the split, float32 `(B, H, W, C)`, `size` at a time, the first `count` of them."""
        from vae_tf.data.pipeline import evaluation_batches

        some = self.examples if count is None else self.examples.subset(np.arange(count))
        config = self.config.model_copy(update={"batch_size": size})
        yield from evaluation_batches(some, config, self.splits.spec.image_shape, self.split).as_numpy_iterator()

    def train_pictures(self, count: int) -> np.ndarray:
        """Returns the first `count` pictures the model could learn from, the validation part last."""
        from vae_tf.data.pipeline import first_pictures

        shape = self.splits.spec.image_shape
        train = first_pictures(self.splits.train, self.config, shape, "train", count)
        missing = count - len(train)
        if self.splits.val is None or missing <= 0:
            return train
        return np.concatenate([train, first_pictures(self.splits.val, self.config, shape, "val", missing)])


def evaluate(subject: Subject, options: EvaluateOptions) -> dict[str, Any]:
    """Returns every score of a run, ready for JSON.

    Args:
        subject: The run, its model and data.
        options: Of the command.

    Raises:
        InputError: The split is too small, or the features can't be had.
    """
    space = feature_space(subject, options.features)
    references = reference_generators(subject)
    num_samples = min(LARGEST_SAMPLE, subject.splits.spec.num_train + subject.splits.spec.num_val)
    _check_enough(min(num_samples, len(subject.examples)), space)

    latents, per_dimension = latent_scores(subject)
    scores = {**likelihood_scores(subject, options), **latents, **reconstruction_scores(subject)}
    real = _features(space, subject.batches(256))
    rows = {
        name: sample_scores(space, real, _generated_features(space, generate, num_samples, subject.seed), subject.seed)
        for name, generate in {MODEL_ROW: _model_generator(subject), **references}.items()
    }
    train = space.extract(subject.train_pictures(num_samples))
    rows["train_pictures"] = sample_scores(space, real, train, subject.seed)
    scores |= rows.pop(MODEL_ROW)
    return {
        "dataset": subject.config.dataset,
        "image_shape": list(subject.splits.spec.image_shape),
        "likelihood": subject.config.likelihood,
        "split": subject.split,
        "metrics": {name: score.as_dict() for name, score in scores.items()},
        "kl_per_dimension": {"values": [round(float(v), 6) for v in per_dimension], "unit": "nats"},
        "references": {name: {key: s.as_dict() for key, s in row.items()} for name, row in rows.items()},
    }


def likelihood_scores(subject: Subject, options: EvaluateOptions) -> Scores:
    """Returns the ELBO and its parts, the importance-sampled likelihood, and bits per dimension where it has them."""
    from vae_tf.metrics.elbo import elbo_per_image, images_per_step
    from vae_tf.metrics.estimate import Estimate, mean_estimate

    nats, seed, model = "nats per image", subject.seed, subject.model
    terms = elbo_per_image(model, subject.batches(images_per_step(model, 1)), seed)
    scores = {
        "elbo": mean_estimate(-terms.negative_elbo, nats, seed, num_samples=1),
        "reconstruction_loss": mean_estimate(terms.reconstruction_loss, nats, seed, num_samples=1),
        "kl_loss": mean_estimate(terms.kl_loss, nats, seed, num_samples=1),
    }
    values = _importance_sampled(subject, options)
    is_likelihood = subject.config.likelihood != "bernoulli" or all(
        np.isin(batch, (0, 1)).all() for batch in subject.batches(256)
    )
    if not is_likelihood:
        note = "a Bernoulli likelihood on grey values: a bound to compare runs with, not an NLL"
        bound = mean_estimate(values, nats, seed, num_samples=options.nll_samples, note=note)
        return {**scores, "cross_entropy_bound": bound}
    nll = mean_estimate(values, nats, seed, num_samples=options.nll_samples)
    per_dim = 1 / (math.prod(subject.splits.spec.image_shape) * math.log(2))
    note = "" if subject.config.likelihood == "bernoulli" else "of a density over [0, 1], not of 8-bit values"
    bits = Estimate(
        nll.value * per_dim,
        "bits per dimension",
        nll.standard_error * per_dim,
        nll.num_examples,
        seed,
        options.nll_samples,
        note,
    )
    return {**scores, "nll": nll, "bits_per_dim": bits}


def _importance_sampled(subject: Subject, options: EvaluateOptions) -> np.ndarray:
    from tqdm import tqdm

    from vae_tf.metrics.elbo import images_per_step, nll_batches

    count = min(options.nll_images, len(subject.examples))
    step = images_per_step(subject.model, options.nll_samples)
    _announce(subject, count, step, options.nll_samples)
    results = []
    with tqdm(total=count, desc="likelihood", unit=" images", leave=False, disable=not sys.stdout.isatty()) as bar:
        for values in nll_batches(subject.model, subject.batches(step, count), options.nll_samples, subject.seed):
            results.append(values)
            bar.update(len(values))
    return np.concatenate(results)


def _announce(subject: Subject, count: int, step: int, num_samples: int) -> None:
    """Says how long the likelihood will take, from one block of draws for one step of images."""
    from vae_tf.metrics.elbo import SAMPLES_PER_BLOCK, nll_batches

    pilot = min(num_samples, SAMPLES_PER_BLOCK)
    batches = list(subject.batches(step, min(step, count)))
    runs = nll_batches(subject.model, batches * 2, pilot, subject.seed)
    next(runs)  # compiles
    began = time.perf_counter()
    next(runs)
    seconds = (time.perf_counter() - began) * (num_samples / pilot) * (count / len(batches[0]))
    print(
        f"Likelihood of {count:,} pictures from {num_samples:,} samples each: about {max(1, round(seconds)):,} s",
        flush=True,
    )


def latent_scores(subject: Subject) -> tuple[Scores, np.ndarray]:
    """Returns active units and mutual information, and the KL of each latent dimension `(Z,)`."""
    from vae_tf.metrics import latents

    model = subject.model
    params = np.concatenate([model.encoder.predict_on_batch(batch) for batch in subject.batches(256)])
    means, log_vars = np.split(params, 2, axis=-1)
    scores = {
        "active_units": latents.active_units(means, subject.seed),
        "mutual_information": latents.mutual_information(means, log_vars, subject.seed),
    }
    return scores, latents.kl_per_dimension(means, log_vars)


def reconstruction_scores(subject: Subject) -> Scores:
    """Returns MSE, PSNR and SSIM of the mean reconstructions."""
    from vae_tf.metrics import reconstruction
    from vae_tf.metrics.estimate import mean_estimate

    measures: dict[str, tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], str]] = {
        "reconstruction_mse": (reconstruction.mean_squared_error, "squared pixel value"),
        "reconstruction_psnr": (reconstruction.psnr, "dB"),
        "reconstruction_ssim": (reconstruction.ssim, "1"),
    }
    values: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for batch in subject.batches(256):
        reconstructed = subject.model.reconstruct(batch)
        for name, (measure, _) in measures.items():
            values[name].append(measure(batch, reconstructed))
    return {
        name: mean_estimate(np.concatenate(values[name]), unit, subject.seed) for name, (_, unit) in measures.items()
    }


def sample_scores(space: "FeatureSpace", real: np.ndarray, generated: np.ndarray, seed: int) -> Scores:
    """Returns Frechet distance, precision, recall, density and coverage of generated features.

    Args:
        space: Where the features are from.
        real: Features of the split `(N, D)`.
        generated: Features of the generated pictures `(M, D)`.
        seed: Seed of the bootstrap.
    """
    from vae_tf.metrics.estimate import Estimate, bootstrap_error, mean_estimate
    from vae_tf.metrics.generation import frechet_distance, manifold_scores

    distance = Estimate(
        frechet_distance(real, generated),
        "squared feature distance",
        bootstrap_error(frechet_distance, (real, generated), seed),
        len(real),
        seed,
        len(generated),
    )
    manifold = manifold_scores(real, generated)._asdict()
    return {
        f"frechet_distance_{space.name}": distance,
        **{f"{key}_{space.name}": mean_estimate(values, "1", seed) for key, values in manifold.items()},
    }


def feature_space(subject: Subject, features: str) -> "FeatureSpace":
    """Returns the space that `--features` names for the run's data."""
    from vae_tf.data.catalog import load_arrays
    from vae_tf.data.pipeline import first_pictures
    from vae_tf.metrics.features import classifier_features, inception_features

    if features == "inception":
        return inception_features()
    splits = subject.splits
    if splits.train.labels is None:
        (images, labels), _ = load_arrays()
        assert labels is not None
        return classifier_features(images, labels, "fashion_mnist_sample")
    images = first_pictures(splits.train, subject.config, splits.spec.image_shape, "train", len(splits.train))
    return classifier_features(images, splits.train.labels, subject.config.dataset)


def reference_generators(subject: Subject) -> dict[str, Callable[[int, int], np.ndarray]]:
    """Returns the generators whose scores make the model's readable."""
    from vae_tf.metrics.generators import noise_generator, pca_generators

    images = subject.train_pictures(LARGEST_SAMPLE)
    fitted = pca_generators(images, subject.config.latent_dim, subject.seed)
    return {**fitted, "noise": noise_generator(subject.splits.spec.image_shape)}


def _model_generator(subject: Subject) -> Callable[[int, int], np.ndarray]:
    """(n, seed) -> pictures as the data has them: drawn 0/1 where it is binarized, else means."""

    def generate(n: int, seed: int) -> np.ndarray:
        means = np.clip(subject.model.sample(n, seed), 0, 1)
        if subject.config.binarize == "none":
            return means
        return (np.random.default_rng(seed).random(means.shape) < means).astype(np.float32)

    return generate


def _generated_features(
    space: "FeatureSpace", generate: Callable[[int, int], np.ndarray], count: int, seed: int
) -> np.ndarray:
    return space.extract(generate(count, seed))


def _features(space: "FeatureSpace", batches: Iterator[np.ndarray]) -> np.ndarray:
    return np.concatenate([space.extract(batch) for batch in batches])


def _check_enough(count: int, space: "FeatureSpace") -> None:
    if count <= space.size:
        raise InputError(
            f"Sample quality needs more pictures than the {space.size} features of {space.name}. Received: {count}"
        )


def print_table(results: dict[str, Any]) -> None:
    """Prints the scores with their errors, and the reference rows under those they stand beside."""
    for name, score in results["metrics"].items():
        print(_line(name, score))
        for row, references in results["references"].items():
            if name in references:
                print(_line(f"  {row}", references[name]))


def _line(name: str, score: dict[str, Any]) -> str:
    samples = f", {score['num_samples']:,} samples" if "num_samples" in score else ""
    note = f"; {score['note']}" if "note" in score else ""
    value = f"{score['value']:>12.4f} +- {score['standard_error']:<10.4f}"
    return f"{name:48} {value} {score['unit']} ({score['num_examples']:,} pictures{samples}{note})"


def main(options: EvaluateOptions) -> None:
    """Runs the command."""
    from vae_tf.data.catalog import load_splits
    from vae_tf.rundir import RunDir

    run = RunDir.open(Path(options.run))
    config = run.read_config()
    splits = load_splits(config)
    examples = splits.test if options.split == "test" else splits.val
    if examples is None:
        raise InputError("split=val needs a run that held a part out. Received: val_fraction=0; use --split test")
    cli.load_tensorflow()

    from vae_tf.distribute import errors_in_one_line, use_device

    use_device(options.device)
    model = run.load_model()
    with errors_in_one_line():
        results = evaluate(Subject(config, splits, options.split, examples, model, options.seed), options)
    print_table(results)
    print(run.write_metrics(results))


if __name__ == "__main__":
    cli.run(main, EvaluateOptions, COMMAND)
