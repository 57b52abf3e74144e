"""Figures and arrays of a trained run: samples, reconstructions, interpolations and traversals."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.data.modality import modality_of
from vae_tf.data.pipeline import first_batch
from vae_tf.metrics.traversal import LARGEST_NUM_DIMENSIONS, encoded_sample, traverse
from vae_tf.model.vae import Observed
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support.errors import InputError

NUM_INTERPOLATIONS = 8
INTERPOLATION_STEPS = 10
ALL = "all"


class Drawn(NamedTuple):
    """A figure and its data.

    Attributes:
        name: Default name of the file.
        arrays: Contents of an npz file.
        figure: Contents of a png file.
    """

    name: str
    arrays: dict[str, Any]
    figure: Figure


def samples(
    run: LoadedRun, num: int | None = None, label: str | None = None, seed: int = 0, temperature: float = 1.0
) -> Drawn:
    """Returns prior samples.

    Args:
        run: The run.
        num: Number of samples; per class if `label` is `"all"`. Default: 64 images or 2,000 points.
        label: Class of the samples of a conditional run, by number or name, or `"all"`. Default: each class in turn.
        seed: Seed of the draws.
        temperature: Factor on the prior's noise.

    Raises:
        InputError: The run has no such class, or no classes.
    """
    model, class_names = run.model, run.folder.read_classes()
    if class_names is not None and len(class_names) != model.num_classes:
        raise InputError(
            f"classes.json of a run must name the classes of its model. Received: {len(class_names)} names for "
            f"{model.num_classes} classes; train it again"
        )
    figures = modality_of(model.example_shape).figures
    names = class_names or tuple(map(str, range(model.num_classes or 0)))
    classes = _classes(label, names, num, (figures.num_samples, figures.num_samples_of_class))
    count = (num or figures.num_samples) if classes is None else len(classes)
    drawn = model.sample(count, seed, classes, temperature=temperature, mean=figures.shows_means, sampler=run.sampler)
    arrays = {"samples": drawn} if classes is None else {"samples": drawn, "labels": classes}
    if label == ALL:
        return Drawn("samples", arrays, figures.samples_of_classes(drawn, classes, names))
    return Drawn("samples", arrays, figures.samples(drawn, classes))


def reconstructions(run: LoadedRun, num: int | None = None) -> Drawn:
    """Returns test examples and their reconstructions.

    Args:
        run: The run.
        num: Number of examples, the first of the test split. Default: 10 images or 2,000 points.

    Raises:
        InputError: There are fewer examples.
    """
    run.check_fits()
    model = run.model
    figures = modality_of(model.example_shape).figures
    count = _count(num, len(run.splits.test), figures.num_reconstructions)
    seen = _test_examples(run, np.arange(count))
    arrays = {"originals": seen.target, "reconstructions": model.reconstruct(seen.inputs, seen.labels)}
    if seen.inputs is not seen.target:
        arrays["corrupted"] = seen.inputs
    return Drawn("reconstructions", arrays, figures.reconstructions(seen, arrays["reconstructions"]))


def interpolations(run: LoadedRun, num: int | None = None) -> Drawn:
    """Returns images on a path from one test example to another, in equal steps through the latent space.

    Args:
        run: The run.
        num: Number of paths. Each connects neighbours in the test split, of the same class if the run is conditional.
            Default: 8.

    Raises:
        InputError: There are fewer paths.
    """
    run.check_fits()
    model, examples = run.model, run.splits.test
    pairs = _pairs(len(examples), examples.labels if run.config.conditional else None)
    pairs = pairs[: _count(num, len(pairs), NUM_INTERPOLATIONS)]
    seen = _test_examples(run, pairs.ravel())
    labels = None if seen.labels is None else seen.labels[0::2]
    paths = model.interpolate(seen.inputs[0::2], seen.inputs[1::2], INTERPOLATION_STEPS, labels)
    figure = modality_of(model.example_shape).figures.interpolations(paths)
    return Drawn("interpolations", {"interpolations": paths.reshape(-1, *paths.shape[2:])}, figure)


def traversals(run: LoadedRun, num: int | None = None) -> Drawn:
    """Returns images in which one latent dimension changes at a time.

    Args:
        run: A run of images.
        num: Number of dimensions, the most informative first. Default: 10.

    Raises:
        InputError: There are fewer dimensions, or the run is not of images.
    """
    model = run.model
    modality = modality_of(model.example_shape)
    if not modality.figures.shows_traversals:
        raise InputError(f"traverse needs a run of images. Received: a run of {modality.plural}")
    there = model.latents.latent_dim
    if (num or 1) > there:
        raise InputError(f"num must be at most {there}, by the latent dimensions there are. Received: num={num}")
    encoded = encoded_sample(model, run.config, run.splits)
    traversal = traverse(model, run.config, run.splits, encoded, num or LARGEST_NUM_DIMENSIONS)
    title = "One latent dimension at a time, from -3 to 3"
    arrays = traversal._asdict()
    return Drawn("traversals", arrays, plots.named_rows(traversal.rows, title, traversal.columns))


def _classes(
    label: str | None, names: tuple[str, ...], num: int | None, defaults: tuple[int, int]
) -> np.ndarray | None:
    """Returns the class of each sample, or `None` for a run without classes.

    Args:
        label: As in `samples`.
        names: Names of the classes.
        num: As in `samples`.
        defaults: Defaults for `num`: for all classes together, and per class.
    """
    default, of_each = defaults
    if not names:
        if label is not None:
            raise InputError(f"label needs a run trained with --conditional. Received: label={label}")
        return None
    if label == ALL:
        return np.repeat(np.arange(len(names)), num or of_each)
    count = num or default
    if label is None:
        return np.arange(count) % len(names)
    return np.full(count, _class_of(label, names))


def _class_of(label: str, names: tuple[str, ...]) -> int:
    """Returns the number of a class, given its number or its name."""
    if label in names:
        return names.index(label)
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    named = "" if names[0] == "0" else f" or one of {', '.join(names)}"
    raise InputError(f"label must be a class of the run, 0 to {len(names) - 1}{named}, or all. Received: label={label}")


def _pairs(count: int, classes: np.ndarray | None) -> np.ndarray:
    """Returns pairs of neighbouring examples `(P, 2)`; if `classes` `(count,)` are given, of the same class."""
    if classes is None:
        return np.arange(count // 2 * 2).reshape(-1, 2)
    of_class = [np.flatnonzero(classes == label) for label in np.unique(classes)]
    pairs = [members[: len(members) // 2 * 2].reshape(-1, 2) for members in of_class]
    longest = max(map(len, pairs))
    return np.array([part[place] for place in range(longest) for part in pairs if place < len(part)]).reshape(-1, 2)


def _count(num: int | None, there: int, default: int) -> int:
    """Returns `num` if there are as many; by default, returns `default` or as many as there are."""
    if (num or 1) > there:
        raise InputError(f"num must be at most {there}, by the test pictures there are. Received: num={num or 1}")
    return num or min(default, there)


def _test_examples(run: LoadedRun, indices: np.ndarray) -> Observed:
    some = run.splits.test.subset(indices)
    batch = first_batch(some, run.config, run.splits.spec.example_shape, "test", len(indices))
    return run.model.observed(batch)
