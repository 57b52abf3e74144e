"""Find what does not belong: python -m vae_tf.score --run runs/x --dataset folder --data-dir pictures"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import model_validator

from vae_tf import registry
from vae_tf.config import Config, RunConfig, Seed, UserPath
from vae_tf.config.base import one_of
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vae_tf.data.sources import Examples
    from vae_tf.model.vae import VAE

COMMAND = "python -m vae_tf.score"
IN_A_ROW = 10
LARGEST_REFERENCE = 5_000


class ScoreOptions(Config):
    """Score pictures by how little they belong to what a run was trained on; higher is more anomalous."""

    run: UserPath
    """Run folder, as runs/x."""
    dataset: Annotated[str, one_of("dataset", registry.DATASETS)] | None = None
    """What to score, by the names that train takes. Default: the run's own dataset."""
    data_dir: UserPath | None = None
    """Where it is."""
    split: Literal["all", "test"] | None = None
    """Part to score. Default: all where dataset or data_dir is given, else the test split of the run's own data."""
    score: Annotated[str, one_of("score", registry.ANOMALY_SCORES)] = "mahalanobis"
    """mahalanobis (distance to the run's training pictures) or likelihood_regret (needs none of them; slower)."""
    out: UserPath = "scores.csv"
    """Table to write; the most and the least anomalous pictures go into a .png of the same name."""
    seed: Seed = 0
    """Seed of every draw."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to compute."""

    @model_validator(mode="after")
    def _a_table(self) -> Self:
        if Path(self.out).suffix != ".csv":
            raise InputError(f"out must end in .csv. Received: out={self.out}")
        return self


@dataclass(frozen=True)
class Subject:
    """What is scored: the parts of a dataset by name, to be brought to the shape of the run's examples."""

    config: RunConfig
    example_shape: tuple[int, ...]
    parts: dict[str, "Examples"]

    @property
    def has_pictures(self) -> bool:
        """Whether the examples are pictures, not rows of features."""
        return len(self.example_shape) > 1

    def __iter__(self) -> Iterator[Any]:
        """Yields the batches of all parts, one part after the other, as the model takes them."""
        from vae_tf.data.pipeline import evaluation_batches

        for examples in self.parts.values():
            yield from evaluation_batches(examples, self.config, self.example_shape, "test").as_numpy_iterator()

    def in_batches_of(self, size: int) -> "Subject":
        """Returns the same with another size of the batches."""
        return replace(self, config=self.config.model_copy(update={"batch_size": size}))

    def pictures(self, indices: np.ndarray) -> np.ndarray:
        """Returns the pictures at `indices` `(N,)`, counted through all parts, in grey or colour `(N, H, W, C)`."""
        from vae_tf.data.pipeline import first_pictures

        config = self.config.model_copy(update={"binarize": "none"})
        places = [(part, row) for part in self.parts.values() for row in range(len(part))]
        chosen = [part.subset(np.array([row])) for part, row in (places[index] for index in indices)]
        return np.concatenate([first_pictures(one, config, self.example_shape, "test", 1) for one in chosen])


def _subject(config: RunConfig, options: ScoreOptions) -> Subject:
    """The data that the options name.

    Raises:
        InputError: It can't be read.
    """
    from vae_tf.data.catalog import load_parts, load_splits

    is_own = options.dataset is None and options.data_dir is None
    if not is_own:
        place = {"dataset": options.dataset or config.dataset, "data_dir": options.data_dir}
        config = config.model_copy(update=place)
    if (options.split or ("test" if is_own else "all")) == "all":
        return Subject(config, *load_parts(config))
    splits = load_splits(config.model_copy(update={"val_fraction": 0.0}))
    return Subject(config, splits.spec.example_shape, {"test": splits.test})


def _check_fits(subject: Subject, model: "VAE") -> None:
    if subject.example_shape != model.example_shape:
        raise InputError(
            f"The data must be of the kind the run was trained on, {model.example_shape}. "
            f"Received: dataset={subject.config.dataset} with {subject.example_shape}"
        )
    if model.num_classes is None:
        return
    for examples in subject.parts.values():
        if examples.labels is None:
            raise InputError(
                "A conditional run needs data with a class for each picture. "
                f"Received: dataset={subject.config.dataset} without labels"
            )
        if examples.labels.max() >= model.num_classes:
            raise InputError(
                f"The data must have the {model.num_classes} classes that the run was trained with. "
                f"Received: a label of {examples.labels.max()}"
            )


def _training_batches(config: RunConfig, size: int) -> Iterator[Any]:
    """Yields training pictures of a run, drawn at random; reads nothing before the first is asked for."""
    from vae_tf.data.catalog import load_splits
    from vae_tf.data.pipeline import evaluation_batches

    try:
        splits = load_splits(config)
    except InputError as error:
        raise InputError(
            f"score=mahalanobis needs the pictures the run was trained on. {error}; or use --score likelihood_regret"
        ) from None
    drawn = np.random.default_rng(0).permutation(len(splits.train))[:LARGEST_REFERENCE]
    config = config.model_copy(update={"batch_size": size})
    some = splits.train.subset(np.sort(drawn))
    yield from evaluation_batches(some, config, splits.spec.example_shape, "train").as_numpy_iterator()


def _scored(subject: Subject, model: "VAE", own: RunConfig, options: ScoreOptions) -> dict[str, Any]:
    """The columns of the table."""
    from vae_tf.data.sources.pictures import PictureExamples
    from vae_tf.metrics.anomaly import DRAWS
    from vae_tf.metrics.elbo import elbo_per_image, images_per_step

    size = images_per_step(model, DRAWS)
    batches, reference = subject.in_batches_of(size), _training_batches(own, size)
    scores = registry.resolve(registry.ANOMALY_SCORES[options.score])(model, batches, reference, options.seed)
    terms = elbo_per_image(model, batches, options.seed)
    parts = subject.parts.items()
    are_files = all(isinstance(examples, PictureExamples) for _, examples in parts)
    return {
        "file" if are_files else "row": [name for _, examples in parts for name in examples.names],
        "split": [part for part, examples in parts for _ in range(len(examples))],
        "elbo": -terms.negative_elbo,
        "reconstruction_loss": terms.reconstruction_loss,
        "kl_loss": terms.kl_loss,
        "anomaly_score": scores,
    }


def _write_table(columns: dict[str, Any], path: Path) -> None:
    # Python's escapes for bytes in a file's name that are no UTF-8 become those bytes again.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in row])


def _contact_sheet(subject: Subject, scores: np.ndarray) -> "Figure":
    from vae_tf import plots

    order = np.argsort(scores)
    rows = {"Least typical: highest scores": order[::-1][:IN_A_ROW], "Most typical: lowest scores": order[:IN_A_ROW]}
    captions = {label: [f"{score:.1f}" for score in scores[indices]] for label, indices in rows.items()}
    return plots.labelled_rows({label: subject.pictures(indices) for label, indices in rows.items()}, captions)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"out must be a file that can be written. Received: {out} ({error.strerror})") from None


def main(options: ScoreOptions) -> None:
    """Runs the command."""
    from vae_tf import plots
    from vae_tf.runs.run_dir import RunDir
    from vae_tf.support.files import replacing

    run, out = RunDir.open(Path(options.run)), Path(options.out)
    run.check_finished()
    own = run.read_config()
    subject = _subject(own, options)
    load_tensorflow()

    from vae_tf.backend.devices import errors_in_one_line, use_device

    use_device(options.device)
    with errors_in_one_line():
        model = run.load_model()
        _check_fits(subject, model)
        with _writing(out):
            with replacing(out) as partial:  # begun before the work, so that a folder that can't be written costs none
                columns = _scored(subject, model, own, options)
                _write_table(columns, partial)
            print(out)
            if subject.has_pictures:
                sheet = out.with_suffix(".png")
                plots.save(_contact_sheet(subject, columns["anomaly_score"]), sheet)
                print(sheet)


if __name__ == "__main__":
    cli.run(main, ScoreOptions, COMMAND)
