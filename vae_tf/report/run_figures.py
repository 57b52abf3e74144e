"""Figures and arrays of a trained run: samples, reconstructions, interpolations and traversals."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.data.modality import get_modality
from vae_tf.data.pipeline import first_batch
from vae_tf.metrics.traversal import MAX_DIMENSIONS, encode_test_examples, traverse
from vae_tf.model.batch import Batch
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support.errors import InputError

NUM_INTERPOLATIONS = 8
INTERPOLATION_STEPS = 10
ALL = "all"


class RunFigure(NamedTuple):
    """A figure and its data.

    Attributes:
        name: Default name of the file.
        arrays: Contents of the npz file.
        figure: Contents of the PNG file.
    """

    name: str
    arrays: dict[str, Any]
    figure: Figure


def samples(
    run: LoadedRun, num: int | None = None, label: str | None = None, seed: int = 0, temperature: float = 1.0
) -> RunFigure:
    """Returns samples from the run's sampler, or from the prior if it has none.

    Args:
        run: The run.
        num: Number of samples; per class if `label` is `"all"`. Default: 64 images or 2,000 points.
        label: Class of the samples of a conditional run, by number or name, or `"all"`. Default: cycle through the
            classes.
        seed: Random seed.
        temperature: Scales the spread of the prior or of the sampler.

    Raises:
        InputError: The class is unknown, or the run is unconditional.
    """
    model, class_names = run.model, run.folder.read_classes()
    if class_names is not None and len(class_names) != model.num_classes:
        raise InputError(
            f"classes.json must have a name for each class of the model. Received: {len(class_names)} names for "
            f"{model.num_classes} classes; train the model again"
        )
    figures = get_modality(model.example_shape).figures
    names = class_names or tuple(map(str, range(model.num_classes or 0)))
    classes = _classes(label, names, num, (figures.num_samples, figures.num_samples_per_class))
    count = (num or figures.num_samples) if classes is None else len(classes)
    generated = model.sample(
        count, seed, classes, temperature=temperature, mean=figures.shows_single_examples, sampler=run.sampler
    )
    arrays = {"samples": generated} if classes is None else {"samples": generated, "labels": classes}
    title = "Prior samples" if run.sampler is None else f"Samples from the {run.sampler.name} sampler"
    if label == ALL:
        return RunFigure("samples", arrays, figures.samples_by_class(generated, classes, names, title))
    return RunFigure("samples", arrays, figures.samples(generated, classes, title))


def reconstructions(run: LoadedRun, num: int | None = None) -> RunFigure:
    """Returns test examples and their reconstructions.

    Args:
        run: The run.
        num: Number of examples, from the start of the test split. Default: 10 images or 2,000 points.

    Raises:
        InputError: The test split has fewer examples.
    """
    run.check_compatible()
    model = run.model
    figures = get_modality(model.example_shape).figures
    count = _choose_count(num, len(run.splits.test), figures.num_reconstructions, "test examples")
    batch = _test_examples(run, np.arange(count))
    arrays = {"originals": batch.target, "reconstructions": model.reconstruct(batch.inputs, batch.labels)}
    if batch.inputs is not batch.target:
        arrays["corrupted"] = batch.inputs
    return RunFigure("reconstructions", arrays, figures.reconstructions(batch, arrays["reconstructions"]))


def interpolations(run: LoadedRun, num: int | None = None) -> RunFigure:
    """Returns linear interpolations in the latent space between pairs of test examples.

    Args:
        run: The run.
        num: Number of pairs of consecutive test examples, of the same class if the run is conditional. Default: 8.

    Raises:
        InputError: The test split has fewer pairs.
    """
    run.check_compatible()
    model, examples = run.model, run.splits.test
    pairs = _pairs(len(examples), examples.labels if run.config.conditional else None)
    pairs = pairs[: _choose_count(num, len(pairs), NUM_INTERPOLATIONS, "pairs of test examples")]
    batch = _test_examples(run, pairs.ravel())
    labels = None if batch.labels is None else batch.labels[0::2]
    paths = model.interpolate(batch.inputs[0::2], batch.inputs[1::2], INTERPOLATION_STEPS, labels)
    figure = get_modality(model.example_shape).figures.interpolations(paths)
    return RunFigure("interpolations", {"interpolations": paths.reshape(-1, *paths.shape[2:])}, figure)


def traversals(run: LoadedRun, num: int | None = None) -> RunFigure:
    """Returns images in which one latent dimension changes at a time.

    Args:
        run: A run of images.
        num: Number of dimensions, in order of decreasing KL. Default: 10.

    Raises:
        InputError: The model has fewer dimensions, or the run is not of images.
    """
    model = run.model
    modality = get_modality(model.example_shape)
    if not modality.figures.shows_traversals:
        raise InputError(f"traverse needs a run trained on images. Received: a run of {modality.plural}")
    latent_dim = model.latents.latent_dim
    if (num or 1) > latent_dim:
        raise InputError(f"num must be at most {latent_dim}, the number of latent dimensions. Received: num={num}")
    encoded = encode_test_examples(model, run.config, run.splits)
    traversal = traverse(model, run.config, run.splits, encoded, num or MAX_DIMENSIONS)
    title = "One latent dimension at a time, from -3 to 3"
    arrays = traversal._asdict()
    return RunFigure("traversals", arrays, plots.rows_with_side_labels(traversal.rows, title, traversal.columns))


def _classes(
    label: str | None, names: tuple[str, ...], num: int | None, defaults: tuple[int, int]
) -> np.ndarray | None:
    """Returns the class of each sample, or `None` for an unconditional run.

    Args:
        label: See `samples`.
        names: Names of the classes.
        num: See `samples`.
        defaults: The defaults for `num`: in total, and per class.
    """
    default, default_per_class = defaults
    if not names:
        if label is not None:
            raise InputError(f"label needs a run trained with --conditional. Received: label={label}")
        return None
    if label == ALL:
        return np.repeat(np.arange(len(names)), num or default_per_class)
    count = num or default
    if label is None:
        return np.arange(count) % len(names)
    return np.full(count, _parse_class(label, names))


def _parse_class(label: str, names: tuple[str, ...]) -> int:
    """Returns the number of a class, given its number or its name."""
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    hint = "" if names[0] == "0" else f" or one of {', '.join(names)}"
    raise InputError(f"label must be a class of the run, 0 to {len(names) - 1}{hint}, or all. Received: label={label}")


def _pairs(count: int, classes: np.ndarray | None) -> np.ndarray:
    """Returns pairs of consecutive examples `(P, 2)`, within each class if `classes` `(count,)` is set."""
    if classes is None:
        return np.arange(count // 2 * 2).reshape(-1, 2)
    indices_by_class = [np.flatnonzero(classes == label) for label in np.unique(classes)]
    pairs_by_class = [indices[: len(indices) // 2 * 2].reshape(-1, 2) for indices in indices_by_class]
    max_pairs = max(map(len, pairs_by_class))
    pairs = [pairs[number] for number in range(max_pairs) for pairs in pairs_by_class if number < len(pairs)]
    return np.array(pairs).reshape(-1, 2)


def _choose_count(num: int | None, num_available: int, default: int, what: str) -> int:
    """Returns `num`, or by default the smaller of `default` and `num_available`."""
    if (num or 1) > num_available:
        raise InputError(f"num must be at most {num_available}, the number of {what}. Received: num={num or 1}")
    return num or min(default, num_available)


def _test_examples(run: LoadedRun, indices: np.ndarray) -> Batch:
    subset = run.splits.test.subset(indices)
    batch = first_batch(subset, run.config, run.splits.spec.example_shape, "test", len(indices))
    return run.model.unpack_batch(batch)
