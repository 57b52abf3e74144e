"""Anomaly scores of a dataset under a trained run: the table and the most and least typical images."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from vae_tf import plots, registry
from vae_tf.config import RunConfig
from vae_tf.data.catalog import load_parts, load_splits
from vae_tf.data.modality import Modality, modality_of
from vae_tf.data.pipeline import evaluation_batches, first_images
from vae_tf.data.sources import Examples
from vae_tf.data.sources.images import ImageFileExamples
from vae_tf.metrics.anomaly import DRAWS
from vae_tf.metrics.elbo import elbo_per_image, images_per_step
from vae_tf.model.vae import VAE
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support.errors import InputError

LARGEST_REFERENCE = 5_000
IN_A_ROW = 10


@dataclass(frozen=True)
class ScoredData:
    """The data to score: the parts of a dataset by name, to be fitted to the shape of the run's examples."""

    config: RunConfig
    example_shape: tuple[int, ...]
    parts: dict[str, Examples]

    @property
    def modality(self) -> Modality:
        """Modality of the examples."""
        return modality_of(self.example_shape)

    def __iter__(self) -> Iterator[Any]:
        """Yields the batches of all parts, one part after the other, as the model takes them."""
        for examples in self.parts.values():
            yield from evaluation_batches(examples, self.config, self.example_shape, "test").as_numpy_iterator()

    def in_batches_of(self, size: int) -> "ScoredData":
        """Returns the same data with another batch size."""
        return replace(self, config=self.config.model_copy(update={"batch_size": size}))

    def pictures(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images at `indices` `(N,)`, counted across all parts, in grey or colour `(N, H, W, C)`."""
        config = self.config.model_copy(update={"binarize": "none"})
        places = [(part, row) for part in self.parts.values() for row in range(len(part))]
        chosen = [part.subset(np.array([row])) for part, row in (places[index] for index in indices)]
        return np.concatenate([first_images(one, config, self.example_shape, "test", 1) for one in chosen])


def scored_data(
    run: LoadedRun, dataset: str | None, data_dir: str | None, split: Literal["all", "test"] | None
) -> ScoredData:
    """Returns the data to score: the run's own data, or other data.

    Args:
        run: The run.
        dataset: Name of a dataset in the registry. Default: the run's own.
        data_dir: Where the data is.
        split: The test split or all data. Default: all if `dataset` or `data_dir` is set, otherwise the test split.

    Raises:
        InputError: The data can't be read.
    """
    is_own = dataset is None and data_dir is None
    split = split or ("test" if is_own else "all")
    if is_own and split == "test":
        return ScoredData(run.config, run.splits.spec.example_shape, {"test": run.splits.test})
    config = run.config
    if not is_own:
        config = config.model_copy(update={"dataset": dataset or config.dataset, "data_dir": data_dir})
    if split == "all":
        return ScoredData(config, *load_parts(config))
    splits = load_splits(config.model_copy(update={"val_fraction": 0.0}))
    return ScoredData(config, splits.spec.example_shape, {"test": splits.test})


def check_fits(data: ScoredData, model: VAE) -> None:
    """Raises an error if a model can't score some data.

    Raises:
        InputError: The examples have another shape, or a conditional model does not know their classes.
    """
    if data.example_shape != model.example_shape:
        raise InputError(
            f"The data must be of the kind the run was trained on, {model.example_shape}. "
            f"Received: dataset={data.config.dataset} with {data.example_shape}"
        )
    if model.num_classes is None:
        return
    for examples in data.parts.values():
        if examples.labels is None:
            raise InputError(
                "A conditional run needs data with a class for each picture. "
                f"Received: dataset={data.config.dataset} without labels"
            )
        if examples.labels.max() >= model.num_classes:
            raise InputError(
                f"The data must have the {model.num_classes} classes that the run was trained with. "
                f"Received: a label of {examples.labels.max()}"
            )


def _training_batches(run: LoadedRun, size: int) -> Iterator[Any]:
    """Yields random training examples of a run in batches; reads no data until the first one is requested."""
    try:
        splits = run.splits
    except InputError as error:
        raise InputError(
            f"score=mahalanobis needs the pictures the run was trained on. {error}; or use --score likelihood_regret"
        ) from None
    drawn = np.random.default_rng(0).permutation(len(splits.train))[:LARGEST_REFERENCE]
    config = run.config.model_copy(update={"batch_size": size})
    some = splits.train.subset(np.sort(drawn))
    yield from evaluation_batches(some, config, splits.spec.example_shape, "train").as_numpy_iterator()


def score_columns(run: LoadedRun, data: ScoredData, score: str, seed: int) -> dict[str, Any]:
    """Returns the columns of the table of scores by name, with one value per example.

    Args:
        run: The run.
        data: The data to score.
        score: A name in `registry.ANOMALY_SCORES`.
        seed: Seed of all draws.
    """
    model = run.model
    size = images_per_step(model, DRAWS)
    batches, reference = data.in_batches_of(size), _training_batches(run, size)
    anomaly_scores = registry.resolve(registry.ANOMALY_SCORES[score])(model, batches, reference, seed)
    terms = elbo_per_image(model, batches, seed)
    parts = data.parts.items()
    are_files = all(isinstance(examples, ImageFileExamples) for _, examples in parts)
    return {
        "file" if are_files else "row": [name for _, examples in parts for name in examples.names],
        "split": [part for part, examples in parts for _ in range(len(examples))],
        "elbo": -terms.negative_elbo,
        "reconstruction_loss": terms.reconstruction_loss,
        "kl_loss": terms.kl_loss,
        "anomaly_score": anomaly_scores,
    }


def contact_sheet(data: ScoredData, scores: np.ndarray) -> Figure:
    """Returns a figure of the most and the least anomalous images, given the scores `(N,)` of all of them."""
    order = np.argsort(scores)
    rows = {"Least typical: highest scores": order[::-1][:IN_A_ROW], "Most typical: lowest scores": order[:IN_A_ROW]}
    captions = {label: [f"{score:.1f}" for score in scores[indices]] for label, indices in rows.items()}
    return plots.labelled_rows({label: data.pictures(indices) for label, indices in rows.items()}, captions)
