"""Loads datasets by name, and divides them into the train, validation and test splits.

A dataset is one `load_*` function, here, in `named` or in `folders`, that returns `RawSplits` and is listed in
`vae_tf.registry.DATASETS`. `load_splits` does what all datasets share: it draws a test split if there is none, holds
out the validation split, and checks the data.
"""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_tf.config import SMALLEST_SIDE, DataConfig
from vae_tf.data.sources import Examples
from vae_tf.data.sources.arrays import ArrayExamples, checked_labels, checked_pixels, read_npy, read_npz, white_value
from vae_tf.data.sources.stored import Rows, StoredRows
from vae_tf.data.spec import DatasetSpec
from vae_tf.registry import DATASETS, resolve
from vae_tf.support.errors import InputError

NPZ_KEYS = ("x_train", "x_test", "y_train", "y_test")
TEST_FRACTION, TEST_SPLIT_SEED = 0.2, 0
LARGEST_NUM_CLASSES = 10_000


class RawSplits(NamedTuple):
    """The splits that the data itself defines.

    `test` is `None` if the data has no test split, and `class_names` is `None` if it does not name its classes.
    """

    train: Examples
    test: Examples | None
    class_names: tuple[str, ...] | None = None


class Splits(NamedTuple):
    """The splits that a run uses.

    Attributes:
        spec: Shape and number of examples.
        train: Examples to train on.
        val: Examples held out from the training set for validation; `None` with `val_fraction=0`.
        test: Held-out test examples.
        whole_train: `train` and `val` together. Runs with different seeds hold out different examples, but their
            samples must all be compared with the same set.
    """

    spec: DatasetSpec
    train: Examples
    val: Examples | None
    test: Examples
    whole_train: Examples


def load_splits(config: DataConfig) -> Splits:
    """Returns the train, validation and test splits of the dataset that `config` names.

    If the data has no test split, a random fifth of it becomes one. It does not depend on `config.seed`, so that runs
    with different seeds are evaluated on the same examples; the validation split does. If the data is labelled, both
    keep the share of each class.

    Raises:
        InputError: The data is missing, damaged, empty or too small, or lacks the classes for a conditional model.
    """
    train, test, class_names = _raw_splits(config)
    if test is None:
        train, test = _split(train, TEST_FRACTION, TEST_SPLIT_SEED, "a test split")
    if config.conditional:
        _check_classes(config, train.labels, test.labels)
    whole_train, val = train, None
    if config.val_fraction > 0:
        train, val = _split(train, config.val_fraction, config.seed, f"val_fraction={config.val_fraction}")
    num_classes = _num_classes([part.labels for part in (train, val, test) if part is not None])
    spec = DatasetSpec(
        name=config.dataset,
        example_shape=_example_shape(config, train.example_shape),
        num_train=len(train),
        num_val=0 if val is None else len(val),
        num_test=len(test),
        num_classes=num_classes,
        class_names=class_names,
    )
    return Splits(spec, train, val, test, whole_train)


def load_parts(config: DataConfig) -> tuple[tuple[int, ...], dict[str, Examples]]:
    """Returns every example of a dataset, in the splits that the data itself defines.

    Returns:
        The shape in which the pipeline delivers an example; and the examples by split, `train` and `test`, or `all` if
        the data has no test split.

    Raises:
        InputError: The data is missing, damaged or empty.
    """
    train, test = _raw_splits(config)[:2]
    parts = {"all": train} if test is None else {"train": train, "test": test}
    return _example_shape(config, train.example_shape), parts


def _check_classes(config: DataConfig, train: np.ndarray | None, test: np.ndarray | None) -> None:
    """Raises an `InputError` if a conditional model could not learn the classes."""
    for split, labels in (("train", train), ("test", test)):
        if labels is None:
            raise InputError(
                "conditional needs data with a class for each picture. Received: "
                f"dataset={config.dataset}, whose {split} split has none; leave --conditional out, or add the labels"
            )
    assert train is not None
    assert test is not None
    known = np.unique(train)
    if known[-1] >= LARGEST_NUM_CLASSES:
        raise InputError(
            f"conditional needs classes numbered from 0, at most {LARGEST_NUM_CLASSES:,} of them. "
            f"Received: a label of {known[-1]}"
        )
    if len(known) < 2:
        raise InputError(f"conditional needs at least two classes to train on. Received: {len(known)}")
    unknown = np.setdiff1d(test, known)
    if len(unknown):
        raise InputError(
            f"conditional needs every class among the training pictures. Received: {unknown[0]} in the test split alone"
        )


def _num_classes(labels: list[np.ndarray | None]) -> int | None:
    known = [part.max() for part in labels if part is not None]
    return int(max(known)) + 1 if known else None


def _raw_splits(config: DataConfig) -> RawSplits:
    try:
        raw: RawSplits = resolve(DATASETS[config.dataset])(config)
    except OSError as error:
        raise InputError(f"data_dir must be readable. Received: {config.data_dir} ({error.strerror})") from None
    return raw


def load_arrays(
    dataset: str = "fashion_mnist_sample", data_dir: str | None = None
) -> tuple[tuple[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray | None]]:
    """Returns a dataset as arrays, like `keras.datasets` but ready for the model.

    Args:
        dataset: A name in the registry. Images from a folder have shape 64x64x3; the points of toy datasets are
            `(N, 2)`.
        data_dir: Path of the data; see `--data-dir` on the command line.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x float32 `(N, H, W, C)` in [0, 1], y int64 `(N,)` or `None`.

    Raises:
        InputError: The data is missing, damaged, empty or too small.
    """
    splits = load_splits(DataConfig(dataset=dataset, data_dir=data_dir, val_fraction=0))
    return _as_arrays(splits.train), _as_arrays(splits.test)


def _as_arrays(examples: Examples) -> tuple[np.ndarray, np.ndarray | None]:
    pixels = examples.read(np.arange(len(examples)))
    return pixels.astype(np.float32) / np.float32(examples.scale), examples.labels


def _split(examples: Examples, fraction: float, seed: int, purpose: str) -> tuple[Examples, Examples]:
    count = round(len(examples) * fraction)
    if not 0 < count < len(examples):
        raise InputError(
            f"{purpose} needs more pictures than there are. Received: {len(examples)}; "
            "add pictures or use --val-fraction 0"
        )
    drawn = _drawn(examples, count, seed)
    return examples.subset(np.delete(np.arange(len(examples)), drawn)), examples.subset(drawn)


def _drawn(examples: Examples, count: int, seed: int) -> np.ndarray:
    """Returns the indices of a random subset in which each class keeps its share: int64 `(count,)`, ascending.

    The shares are exact up to one example. This is systematic sampling (Cochran 1977, chapter 8) of the shuffled
    examples, class by class. scikit-learn's `train_test_split` does much the same, but importing it takes one of the
    five seconds to the first training step.
    """
    order = np.random.default_rng(seed).permutation(len(examples))
    if examples.labels is not None:
        order = order[np.argsort(examples.labels[order], kind="stable")]
    return np.sort(order[(2 * np.arange(count) + 1) * len(examples) // (2 * count)])


def _example_shape(config: DataConfig, native: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape that the pipeline delivers: the data's own, unless the config sets another."""
    if len(native) == 1:
        return native
    height, width = requested_size(config) or native[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"Pictures must be at least {SMALLEST_SIDE} pixels a side. Received: {height}x{width}; use --image-size"
        )
    return height, width, config.channels or native[2]


def requested_size(config: DataConfig) -> tuple[int, int] | None:
    """Returns `(height, width)` from the config, or `None` if it sets no size."""
    if config.image_size is None:
        return None
    height, width = config.image_size.split("x")
    return int(height), int(width)


def load_fashion_mnist_sample(config: DataConfig) -> RawSplits:
    """Loads the embedded 10,000 + 2,500 images of Fashion-MNIST (MIT, Zalando SE), 28x28x1, ten classes."""
    if config.data_dir is not None:
        raise InputError(
            "fashion_mnist_sample ships inside the package and takes no data_dir. "
            f"Received: data_dir={config.data_dir}; choose --dataset fashion_mnist, folder, npz or npy"
        )
    with resources.as_file(resources.files("vae_tf.data") / "embedded" / "fashion_mnist_sample.npz") as path:
        return from_arrays(read_npz(path, NPZ_KEYS), "")


def load_npz(config: DataConfig) -> RawSplits:
    """Loads an npz file that follows `keras.datasets`: `x_train`, `x_test`, and optionally `y_train`, `y_test`."""
    return from_npz(required_data_dir(config, "the npz file"))


def load_npy(config: DataConfig) -> RawSplits:
    """Loads one array of images from an npy file; the test split is drawn from it."""
    path = required_data_dir(config, "the npy file")
    pixels = checked_pixels(read_npy(path), str(path))
    return RawSplits(ArrayExamples(pixels, None, white_value(pixels)), None)


def required_data_dir(config: DataConfig, what: str) -> Path:
    """Returns `data_dir` for a dataset that can't do without it.

    Args:
        config: The config.
        what: What `data_dir` must name, for the message.

    Raises:
        InputError: `data_dir` is not set.
    """
    if config.data_dir is None:
        raise InputError(f"dataset={config.dataset} needs data_dir: {what}. Received: no --data-dir")
    return Path(config.data_dir)


def from_npz(path: Path) -> RawSplits:
    """Returns the splits in an npz file whose arrays are named as in `keras.datasets`.

    Raises:
        InputError: The file can't be read, or an array is missing or unusable.
    """
    arrays = read_npz(path, NPZ_KEYS)
    missing = [key for key in NPZ_KEYS[:2] if key not in arrays]
    if missing:
        raise InputError(f"{path} must hold the arrays x_train and x_test. Received: no {' and no '.join(missing)}")
    return from_arrays(arrays, f"{path}: ")


def from_arrays(arrays: Mapping[str, Rows], where: str) -> RawSplits:
    """Returns the splits in arrays that are named as in `keras.datasets`.

    Args:
        arrays: `x_train` and `x_test`, and optionally the labels `y_train` and `y_test`.
        where: Prefix of the arrays' names in messages.

    Raises:
        InputError: An array is unusable.
    """
    x_train, x_test = (checked_pixels(arrays[key], where + key) for key in NPZ_KEYS[:2])
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InputError(
            f"{where}x_train and x_test must hold pictures of one shape. "
            f"Received: {x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    white = white_value(x_train, x_test)
    y_train, y_test = (
        checked_labels(_in_memory(arrays.get(key)), len(pixels), where + key)
        for key, pixels in zip(NPZ_KEYS[2:], (x_train, x_test), strict=True)
    )
    return RawSplits(ArrayExamples(x_train, y_train, white), ArrayExamples(x_test, y_test, white))


def _in_memory(labels: Rows | None) -> np.ndarray | None:
    return labels[:] if isinstance(labels, StoredRows) else labels
