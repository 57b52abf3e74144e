"""Anomaly scores of a dataset under a trained model: the table, and a figure of the most and least typical images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
from vae_tf.metrics.anomaly import NUM_SAMPLES
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
        rows = [(examples, row) for examples in self.splits.values() for row in range(len(examples))]
        subsets = [examples.subset(np.array([row])) for examples, row in (rows[index] for index in indices)]
        return np.concatenate([first_examples(subset, config, self.example_shape, "test", 1) for subset in subsets])


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
    indices = np.random.default_rng(0).permutation(len(splits.train))[:MAX_REFERENCE]
    config = run.config.model_copy(update={"batch_size": size})
    subset = splits.train.subset(np.sort(indices))
    yield from evaluation_batches(subset, config, splits.spec.example_shape, "train").as_numpy_iterator()


def score_columns(run: LoadedRun, data: ScoringData, score: str, seed: int) -> dict[str, Any]:
    """Returns the columns of the score table by name, with one value per example.

    Args:
        run: The run.
        data: The data to score.
        score: A name in `registry.ANOMALY_SCORES`.
        seed: Random seed.
    """
    model = run.model
    size = max_batch_size(model, NUM_SAMPLES)
    batches, reference = data.with_batch_size(size), _training_batches(run, size)
    anomaly_scores = registry.resolve(registry.ANOMALY_SCORES[score])(model, batches, reference, seed)
    terms = elbo_per_image(model, batches, seed)
    splits = data.splits.items()
    is_image_folder = all(isinstance(examples, ImageFileSource) for _, examples in splits)
    return {
        "file" if is_image_folder else "row": [name for _, examples in splits for name in examples.names],
        "split": [split for split, examples in splits for _ in range(len(examples))],
        "elbo": -terms.negative_elbo,
        "reconstruction_loss": terms.reconstruction_loss,
        "kl_loss": terms.kl_loss,
        "anomaly_score": anomaly_scores,
    }


def contact_sheet(data: ScoringData, scores: np.ndarray) -> Figure:
    """Returns a figure of the most and the least anomalous images, given the scores `(N,)` of all images."""
    order = np.argsort(scores)
    rows = {
        "Least typical: highest scores": order[::-1][:IMAGES_PER_ROW],
        "Most typical: lowest scores": order[:IMAGES_PER_ROW],
    }
    captions = {label: [f"{score:.1f}" for score in scores[indices]] for label, indices in rows.items()}
    return plots.rows_with_headings({label: data.images(indices) for label, indices in rows.items()}, captions)
