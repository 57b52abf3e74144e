"""Loads datasets by name and splits them into train, validation and test sets.

Each dataset has a `load_*` function, in `array_files`, `folders` or `standard`, that returns `NativeSplits` and is
listed in `vae_tf.registry.DATASETS`. `load_splits` does what all datasets need: it draws a test split if the data has
none, holds out the validation split, and checks the data.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_tf.config import MIN_IMAGE_SIZE, DataConfig
from vae_tf.data.sources import ExampleSource
from vae_tf.data.sources.image_files import SkippedFile
from vae_tf.data.spec import DatasetSpec
from vae_tf.registry import DATASETS, resolve
from vae_tf.support.errors import InputError

TEST_FRACTION, TEST_SPLIT_SEED = 0.2, 0
MAX_NUM_CLASSES = 10_000


class NativeSplits(NamedTuple):
    """The splits that the data itself defines.

    `test` is `None` if the data has no test split, and `class_names` is `None` if it does not name its classes.
    `skipped` are the files that can't be read.
    """

    train: ExampleSource
    test: ExampleSource | None
    class_names: tuple[str, ...] | None = None
    skipped: Sequence[SkippedFile] = ()


class Splits(NamedTuple):
    """The splits that a run uses.

    Attributes:
        spec: Metadata of the dataset.
        train: Examples to train on.
        val: Examples held out from the training set for validation; `None` with `val_fraction=0`.
        test: Held-out test examples.
        train_and_val: `train` and `val` together, the reference set for the sample-quality metrics: it is the same for
            all seeds, whereas `train` is not.
        skipped: Files of the dataset that can't be read, which belong to no split.
    """

    spec: DatasetSpec
    train: ExampleSource
    val: ExampleSource | None
    test: ExampleSource
    train_and_val: ExampleSource
    skipped: Sequence[SkippedFile] = ()


def load_splits(config: DataConfig) -> Splits:
    """Returns the train, validation and test splits of the dataset in `config`.

    If the data has no test split, a random fifth of the examples becomes the test split. It does not depend on
    `config.seed`, so runs with different seeds are evaluated on the same examples. The validation split does depend on
    the seed. If the data is labelled, both splits are stratified by class.

    Raises:
        InputError: The data is missing, damaged, empty or too small, or its labels can't be used for a conditional
            model.
    """
    return make_splits(config, _load_native_splits(config))


def make_splits(config: DataConfig, native_splits: NativeSplits) -> Splits:
    """Returns the splits of data that is already loaded; see `load_splits`."""
    train, test, class_names, skipped = native_splits
    if test is None:
        train, test = _split(train, TEST_FRACTION, TEST_SPLIT_SEED, "a test split", "add examples")
    if config.conditional:
        _check_classes(config, train.labels, test.labels)
    train_and_val, val = train, None
    if config.val_fraction > 0:
        purpose = f"val_fraction={config.val_fraction}"
        train, val = _split(train, config.val_fraction, config.seed, purpose, "add examples or use --val-fraction 0")
    num_classes = _count_classes([split.labels for split in (train, val, test) if split is not None])
    spec = DatasetSpec(
        name=config.dataset,
        example_shape=_get_example_shape(config, train.example_shape),
        num_train=len(train),
        num_val=0 if val is None else len(val),
        num_test=len(test),
        num_classes=num_classes,
        class_names=class_names,
    )
    return Splits(spec, train, val, test, train_and_val, skipped)


def load_all_examples(config: DataConfig) -> tuple[tuple[int, ...], dict[str, ExampleSource]]:
    """Returns all examples of a dataset, in the dataset's own splits.

    Returns:
        The shape of an example in a batch; and the examples by split, `train` and `test`, or `all` if the data has no
        test split.

    Raises:
        InputError: The data is missing, damaged or empty.
    """
    train, test = _load_native_splits(config)[:2]
    splits = {"all": train} if test is None else {"train": train, "test": test}
    return _get_example_shape(config, train.example_shape), splits


def _check_classes(config: DataConfig, train: np.ndarray | None, test: np.ndarray | None) -> None:
    """Raises an `InputError` if the labels can't be used for a conditional model."""
    for split, labels in (("train", train), ("test", test)):
        if labels is None:
            raise InputError(
                f"conditional needs labelled data. Received: dataset={config.dataset}, whose {split} split has no "
                "labels; omit --conditional, or add the labels"
            )
    assert train is not None
    assert test is not None
    known = np.unique(train)
    if known[-1] >= MAX_NUM_CLASSES:
        raise InputError(
            f"conditional needs class indices from 0 to {MAX_NUM_CLASSES - 1:,}. Received: a label of {known[-1]}; "
            "renumber the classes"
        )
    if len(known) < 2:
        raise InputError(f"conditional needs at least two classes in the train split. Received: {len(known)}")
    unknown = np.setdiff1d(test, known)
    if len(unknown):
        raise InputError(
            "conditional needs every class of the test split to occur in the train split. "
            f"Received: class {unknown[0]}, which occurs only in the test split"
        )


def _count_classes(labels: list[np.ndarray | None]) -> int | None:
    known = [array.max() for array in labels if array is not None]
    return int(max(known)) + 1 if known else None


def _load_native_splits(config: DataConfig) -> NativeSplits:
    try:
        splits: NativeSplits = resolve(DATASETS[config.dataset])(config)
    except OSError as error:
        raise InputError(f"data_dir must be readable. Received: {config.data_dir} ({error.strerror})") from None
    return splits


def load_arrays(
    dataset: str = "fashion_mnist_sample", data_dir: str | None = None
) -> tuple[tuple[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray | None]]:
    """Returns a dataset as arrays, like `keras.datasets`, but scaled and ready for the model.

    Args:
        dataset: Name in the registry. Images from a folder are cropped and resized to 64x64x3; the points of toy
            datasets have shape `(N, 2)`.
        data_dir: Path to the data; see `--data-dir` on the command line.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x float32 `(N, H, W, C)` in [0, 1], y int64 `(N,)` or `None`.

    Raises:
        InputError: The data is missing, damaged, empty or too small.
    """
    splits = load_splits(DataConfig(dataset=dataset, data_dir=data_dir, val_fraction=0))
    return _to_arrays(splits.train), _to_arrays(splits.test)


def _to_arrays(examples: ExampleSource) -> tuple[np.ndarray, np.ndarray | None]:
    pixels = examples.read(np.arange(len(examples)))
    return pixels.astype(np.float32) / np.float32(examples.scale), examples.labels


def _split(
    examples: ExampleSource, fraction: float, seed: int, purpose: str, remedy: str
) -> tuple[ExampleSource, ExampleSource]:
    count = round(len(examples) * fraction)
    if not 0 < count < len(examples):
        raise InputError(f"There are too few examples for {purpose}. Received: {len(examples)}; {remedy}")
    held_out = _draw_stratified_indices(examples, count, seed)
    return examples.subset(np.delete(np.arange(len(examples)), held_out)), examples.subset(held_out)


def _draw_stratified_indices(examples: ExampleSource, count: int, seed: int) -> np.ndarray:
    """Returns the indices of a random stratified subset, int64 `(count,)`, ascending.

    The proportion of each class is exact up to one example. This is systematic sampling (Cochran 1977, chapter 8) of
    the shuffled examples, class by class. scikit-learn's `train_test_split` does much the same, but importing it adds a
    second to startup.
    """
    order = np.random.default_rng(seed).permutation(len(examples))
    if examples.labels is not None:
        order = order[np.argsort(examples.labels[order], kind="stable")]
    return np.sort(order[(2 * np.arange(count) + 1) * len(examples) // (2 * count)])


def _get_example_shape(config: DataConfig, native: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of an example in a batch: the shape in the data, unless the config sets another."""
    if len(native) == 1:
        return native
    height, width = parse_image_size(config) or native[:2]
    if min(height, width) < MIN_IMAGE_SIZE:
        raise InputError(
            f"Images must be at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} pixels. Received: {height}x{width}; "
            "use --image-size"
        )
    return height, width, config.channels or native[2]


def parse_image_size(config: DataConfig) -> tuple[int, int] | None:
    """Returns `(height, width)` from `image_size` in the config, or `None` if it is not set."""
    if config.image_size is None:
        return None
    height, width = config.image_size.split("x")
    return int(height), int(width)


def require_data_dir(config: DataConfig, expected: str) -> Path:
    """Returns `data_dir` for a dataset that requires it.

    Args:
        config: The config.
        expected: What `data_dir` should point to, for the error message.

    Raises:
        InputError: `data_dir` is not set.
    """
    if config.data_dir is None:
        raise InputError(
            f"dataset={config.dataset} needs data_dir. Received: data_dir=None; set --data-dir to {expected}"
        )
    return Path(config.data_dir)
