"""Anomaly scores of a dataset under a trained model: the table, and a figure of the most and least typical images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from vae_tf import plots, registry
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_all_examples, load_splits
from vae_tf.data.modality import Modality, get_modality
from vae_tf.data.pipeline import evaluation_batches, first_examples
from vae_tf.data.sources import ExampleSource
from vae_tf.data.sources.image_files import ImageFileSource
from vae_tf.metrics.anomaly import NUM_SAMPLES, min_validation_examples, percentiles, score_threshold
from vae_tf.metrics.elbo import elbo_per_image, max_batch_size
from vae_tf.model.vae import VAE
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support.errors import InputError

MAX_REFERENCE = 5_000
IMAGES_PER_ROW = 10


@dataclass(frozen=True)
class ScoringData:
    """The data to score: the splits of a dataset by name, to be converted to the shape of the run's examples."""

    config: RunConfig
    example_shape: tuple[int, ...]
    splits: dict[str, ExampleSource]

    @property
    def modality(self) -> Modality:
        """The modality of the examples."""
        return get_modality(self.example_shape)

    def __len__(self) -> int:
        return sum(map(len, self.splits.values()))

    def __iter__(self) -> Iterator[Any]:
        """Yields the batches of all splits, one split after the other, as model inputs."""
        for examples in self.splits.values():
            yield from evaluation_batches(examples, self.config, self.example_shape, "test").as_numpy_iterator()

    def with_batch_size(self, size: int) -> "ScoringData":
        """Returns the same data with another batch size."""
        return replace(self, config=self.config.model_copy(update={"batch_size": size}))

    def images(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images `(N, H, W, C)` at `indices` `(N,)` across all splits, without binarization."""
        config = self.config.model_copy(update={"binarize": "none"})
        images, start = np.empty((len(indices), *self.example_shape), np.float32), 0
        for examples in self.splits.values():
            is_in_split = (indices >= start) & (indices < start + len(examples))
            if is_in_split.any():
                subset = examples.subset(indices[is_in_split] - start)
                images[is_in_split] = first_examples(subset, config, self.example_shape, "test", len(subset))
            start += len(examples)
        return images


def load_scoring_data(
    run: LoadedRun, dataset: str | None, data_dir: str | None, split: Literal["all", "test"] | None
) -> ScoringData:
    """Returns the data to score: the run's own data, or other data.

    Args:
        run: The run.
        dataset: Name of a dataset in the registry. Default: the run's own.
        data_dir: Path to the data.
        split: The test split or all data. Default: all if `dataset` or `data_dir` is set, otherwise the test split.

    Raises:
        InputError: The data can't be read.
    """
    is_own = dataset is None and data_dir is None
    split = split or ("test" if is_own else "all")
    if is_own and split == "test":
        return ScoringData(run.config, run.splits.spec.example_shape, {"test": run.splits.test})
    config = run.config
    if not is_own:
        config = config.model_copy(update={"dataset": dataset or config.dataset, "data_dir": data_dir})
    if split == "all":
        return ScoringData(config, *load_all_examples(config))
    splits = load_splits(config.model_copy(update={"val_fraction": 0.0}))
    return ScoringData(config, splits.spec.example_shape, {"test": splits.test})


def load_validation_data(run: LoadedRun, threshold: float | None) -> ScoringData | None:
    """Returns validation images of a run to compare anomaly scores with: at most `MAX_REFERENCE`, chosen at random.

    Args:
        run: The run.
        threshold: Quantile of the validation scores above which an image is an anomaly, or `None`.

    Returns:
        The images; without a threshold, `None` if there are none or if the run's data can't be read.

    Raises:
        InputError: There is a threshold, and the run has too few validation images or its data can't be read.
    """
    if run.config.val_fraction == 0 and threshold is None:
        return None
    if run.config.val_fraction == 0:
        raise InputError(
            "threshold needs images that the run was not trained on, its validation images. "
            "Received: a run with val_fraction=0; omit --threshold, or train the run again with --val-fraction 0.1"
        )
    try:
        splits = run.splits
    except InputError as error:
        if threshold is not None:
            raise InputError(
                f"threshold needs the validation images of the run. {error}; or omit --threshold"
            ) from None
        return None
    assert splits.val is not None
    subset = _random_subset(splits.val)
    if threshold is not None and len(subset) < (required := min_validation_examples(threshold)):
        raise InputError(
            f"threshold={threshold:g} needs at least {required:,} validation images. Received: {len(subset):,}; choose "
            "a lower threshold, or train the run again with a larger --val-fraction"
        )
    return ScoringData(run.config, splits.spec.example_shape, {"val": subset})


def _random_subset(examples: ExampleSource) -> ExampleSource:
    """Returns at most `MAX_REFERENCE` of the examples, the same ones in every call."""
    return examples.subset(np.sort(np.random.default_rng(0).permutation(len(examples))[:MAX_REFERENCE]))


def check_compatible(data: ScoringData, model: VAE) -> None:
    """Raises an error if a model can't score the data.

    Raises:
        InputError: The examples have the wrong shape, or lack the classes of a conditional model.
    """
    if data.example_shape != model.example_shape:
        raise InputError(
            f"The data must have the shape that the run was trained on, {model.example_shape}. "
            f"Received: dataset={data.config.dataset} with {data.example_shape}; choose another dataset"
        )
    if model.num_classes is None:
        return
    for examples in data.splits.values():
        if examples.labels is None:
            raise InputError(
                "A conditional run needs labelled data. "
                f"Received: dataset={data.config.dataset} without labels; choose another dataset"
            )
        if examples.labels.max() >= model.num_classes:
            raise InputError(
                f"The data must have the {model.num_classes} classes that the run was trained with. "
                f"Received: label {examples.labels.max()}; choose another dataset"
            )


def _training_batches(run: LoadedRun, size: int) -> Iterator[Any]:
    """Yields batches of random training examples of a run; no data is read before the first batch is requested."""
    try:
        splits = run.splits
    except InputError as error:
        raise InputError(
            f"score=mahalanobis needs the images that the run was trained on. {error}; or use --score likelihood_regret"
        ) from None
    config, subset = run.config.model_copy(update={"batch_size": size}), _random_subset(splits.train)
    yield from evaluation_batches(subset, config, splits.spec.example_shape, "train").as_numpy_iterator()


def score_columns(
    run: LoadedRun, data: ScoringData, validation: ScoringData | None, score: str, seed: int, threshold: float | None
) -> dict[str, Any]:
    """Returns the columns of the score table by name, with one value per example.

    Args:
        run: The run.
        data: The data to score.
        validation: Validation images of the run, which neither the model nor the score was fitted to; the scores of
            `data` are compared with theirs. `None` for no comparison.
        score: A name in `registry.ANOMALY_SCORES`.
        seed: Random seed.
        threshold: Quantile of the validation scores above which an example is an anomaly; `None` for no such column.
    """
    model = run.model
    size = max_batch_size(model, NUM_SAMPLES)
    batches, reference = data.with_batch_size(size), _training_batches(run, size)
    validation_batches = () if validation is None else validation.with_batch_size(size)
    anomaly_score = registry.resolve(registry.ANOMALY_SCORES[score])
    # In one call, so that the reference is read once; the validation images come last, so that they don't affect the
    # noise of the others.
    scores = anomaly_score(model, chain(batches, validation_batches), reference, seed)
    scores, validation_scores = scores[: len(data)], scores[len(data) :]
    terms = elbo_per_image(model, batches, seed)
    splits = data.splits.items()
    is_image_folder = all(isinstance(examples, ImageFileSource) for _, examples in splits)
    columns = {
        "file" if is_image_folder else "row": [name for _, examples in splits for name in examples.names],
        "split": [split for split, examples in splits for _ in range(len(examples))],
        "elbo": -terms.negative_elbo,
        "reconstruction_loss": terms.reconstruction_loss,
        "kl_loss": terms.kl_loss,
        "anomaly_score": scores,
    }
    if validation is not None:
        columns["percentile"] = percentiles(scores, validation_scores)
    if threshold is not None:
        columns["is_anomaly"] = scores > score_threshold(validation_scores, threshold)
    return columns


def summarize_threshold(columns: dict[str, Any], data: ScoringData, validation: ScoringData, threshold: float) -> str:
    """Returns a sentence with the number of anomalies, and the false-alarm rate to expect."""
    count, noun = np.count_nonzero(columns["is_anomaly"]), data.modality.plural
    return (
        f"{count:,} of {len(data):,} {noun} are above the threshold; expected false-alarm rate "
        f"{100 * (1 - threshold):.3g}%, estimated from {len(validation):,} validation {noun}"
    )


def contact_sheet(data: ScoringData, scores: np.ndarray) -> Figure:
    """Returns a figure of the most and the least anomalous images, given the scores `(N,)` of all images."""
    order = np.argsort(scores)
    rows = {
        "Least typical: highest scores": order[::-1][:IMAGES_PER_ROW],
        "Most typical: lowest scores": order[:IMAGES_PER_ROW],
    }
    captions = {label: [f"{score:.1f}" for score in scores[indices]] for label, indices in rows.items()}
    return plots.rows_with_headings({label: data.images(indices) for label, indices in rows.items()}, captions)
