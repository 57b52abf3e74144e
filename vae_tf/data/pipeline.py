"""Turns an indexed collection of examples into batches: order, reading, resizing, binarization, corruption, classes.

A batch is what `VAE.fit` takes: the data x, float32 `(B, H, W, C)` in [0, 1] or rows `(B, F)`; for a conditional
model, `((x, classes),)`; and with `corrupt`, the pair of the corrupted data (with its classes, if conditional) and x.

Everything random here is a pure function of (seed, epoch, position in the epoch): which example is at that position,
the draw that binarizes its pixels, and the noise that corrupts it. So any position of any epoch can be reached without
replaying what came before it, with batches of any size. Static binarization is a function of (seed, example).
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from vae_tf.config import DataConfig
from vae_tf.data.modality import modality_of
from vae_tf.data.noise import Draws, binarized, corrupted
from vae_tf.data.sources import Examples

Split = Literal["train", "val", "test"]

ConfigT = TypeVar("ConfigT", bound=DataConfig)

FIXED_EPOCH = 0
RGB_CHANNELS = 3
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # Pillow's; TensorFlow's sum to 0.9999, so white would turn grey


class Share(NamedTuple):
    """The share of every batch that one worker reads.

    Of a batch of B examples, replica r of R takes rows `[r * B // R, (r + 1) * B // R)`.

    Attributes:
        first: Index of the worker's first replica.
        num_local: Number of the worker's replicas; each in turn gets an element of the dataset.
        num_replicas: R, the number of replicas of all workers.
    """

    first: int
    num_local: int
    num_replicas: int


WHOLE = Share(0, 1, 1)


def num_batches(examples: Examples, batch_size: int) -> int:
    """Returns the number of batches in an epoch, including a short last one."""
    return math.ceil(len(examples) / batch_size)


def training_batches(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], share: Share = WHOLE, start: int = 0
) -> tf.data.Dataset:
    """Returns an endless dataset of shuffled batches, epoch after epoch.

    Args:
        examples: The train split.
        config: `batch_size`, `seed`, `binarize`, `corrupt` and `conditional` are used.
        example_shape: Shape to deliver: `(height, width, channels)` of images, or `(features,)`.
        share: The share of each batch that this worker reads; by default everything.
        start: Index of the first batch, counted from 0 at the beginning of the first epoch.

    Returns:
        A dataset of batches; every `num_batches` of them form one epoch.
    """
    prepare = _preparation(examples, config, example_shape, "train")
    first_epoch, done = divmod(start, num_batches(examples, config.batch_size))

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = epoch_order(len(examples), config.seed, epoch)
        batches = _positions(len(examples), config.batch_size, share)
        remaining = batches.skip(tf.where(epoch == first_epoch, tf.constant(done * share.num_local, tf.int64), 0))
        return remaining.map(lambda rows: (tf.gather(order, rows), rows, epoch))

    return _prepared(tf.data.Dataset.counter(start=first_epoch).flat_map(epoch_batches), prepare, examples)


def evaluation_batches(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], split: Split, share: Share = WHOLE
) -> tf.data.Dataset:
    """Returns the batches of one pass over a split, in order; random numbers are the same in every pass.

    Args:
        examples: The split.
        config: `batch_size`, `seed`, `binarize`, `corrupt` and `conditional` are used.
        example_shape: Shape to deliver: `(height, width, channels)` of images, or `(features,)`.
        split: The name of the split; each split has its own random numbers.
        share: The share of each batch that this worker reads; by default everything.

    Returns:
        A dataset of batches, `num_batches` long.
    """
    prepare = _preparation(examples, config, example_shape, split)
    batches, epoch = _positions(len(examples), config.batch_size, share), tf.constant(FIXED_EPOCH, tf.int64)
    return _prepared(batches, lambda rows: prepare(rows, rows, epoch), examples)


def _prepared(batches: tf.data.Dataset, prepare: Callable[..., Any], examples: Examples) -> tf.data.Dataset:
    """Prepares batches ahead of time: with many threads if files are read, otherwise with one, to leave more CPU for
    training.
    """
    if not examples.is_in_memory:
        return batches.map(prepare, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    return batches.map(prepare).prefetch(2).with_options(options)


def _positions(num_examples: int, batch_size: int, share: Share) -> tf.data.Dataset:
    """Returns the positions in an epoch of each batch's examples, int64 `(B,)`, one element per replica of a share."""
    first, num_local, num_replicas = share

    def rows(piece: tf.Tensor) -> tf.Tensor:
        start, replica = piece // num_local * batch_size, first + piece % num_local
        size = tf.minimum(tf.constant(batch_size, tf.int64), num_examples - start)
        return tf.range(start + replica * size // num_replicas, start + (replica + 1) * size // num_replicas)

    return tf.data.Dataset.range(math.ceil(num_examples / batch_size) * num_local).map(rows)


def first_batch(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], split: Split, count: int
) -> Any:
    """Returns the first `count` examples of a split as one NumPy batch, in the form of `evaluation_batches`."""
    some = examples.subset(np.arange(min(count, len(examples))))
    whole = config.model_copy(update={"batch_size": max(1, len(some))})
    return next(evaluation_batches(some, whole, example_shape, split).as_numpy_iterator())


def clean(config: ConfigT) -> ConfigT:
    """Returns the config without corruption and classes, so that a batch is the data alone."""
    return config.model_copy(update={"corrupt": "none", "conditional": False})


def first_images(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], split: Split, count: int
) -> np.ndarray:
    """Returns the first `count` images of a split, uncorrupted, float32 `(min(count, N), H, W, C)` in [0, 1]."""
    pictures: np.ndarray = first_batch(examples, clean(config), example_shape, split, count)
    return pictures


def epoch_order(num_examples: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the order of an epoch, a permutation of `range(num_examples)`, int64, that (seed, epoch) determine."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(num_examples, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    )


def _preparation(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], split: Split
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any]:
    """Returns a function (indices `(B,)`, their positions in the epoch `(B,)`, epoch) -> batch."""
    fixed = tf.constant(FIXED_EPOCH, tf.int64)
    read, fit = _reader(examples), modality_of(example_shape).preparation

    def prepare(indices: tf.Tensor, positions: tf.Tensor, epoch: tf.Tensor) -> Any:
        draws = Draws(positions, epoch if split == "train" else fixed, config.seed, split)
        x = tf.cast(read(indices), tf.float32) / examples.scale
        if fit is not None:
            x = fit(x, example_shape)
        if config.binarize != "none":
            is_fixed = config.binarize == "static" and split == "train"
            x = binarized(x, Draws(indices, fixed, config.seed, split, consecutive=False) if is_fixed else draws)
        if config.corrupt == "none":
            return ((x, _classes(examples, indices)),) if config.conditional else x
        inputs = corrupted(x, config.corrupt, draws)
        return ((inputs, _classes(examples, indices)) if config.conditional else inputs), x

    return prepare


def _reader(examples: Examples) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from indices `(B,)` to the examples that the source holds there."""
    if examples.is_in_memory:
        values = tf.constant(examples.read(np.arange(len(examples))))
        return lambda indices: tf.gather(values, indices)

    def read(indices: tf.Tensor) -> tf.Tensor:
        values = tf.numpy_function(examples.read, [indices], examples.dtype, stateful=False)
        return tf.ensure_shape(values, (None, *examples.example_shape))

    return read


def _classes(examples: Examples, indices: tf.Tensor) -> tf.Tensor:
    return tf.gather(tf.constant(examples.labels), indices)


def fit_images(pictures: tf.Tensor, example_shape: tuple[int, ...]) -> tf.Tensor:
    """Converts images `(B, h, w, c)` in [0, 1] to `example_shape`: float32 `(B, H, W, C)` in [0, 1]."""
    height, width, channels = example_shape
    if pictures.shape[-1] == RGB_CHANNELS and channels == 1:
        pictures = tf.reduce_sum(pictures * GREY_WEIGHTS, axis=-1, keepdims=True)
    if tuple(pictures.shape[1:3]) != (height, width):
        resized = tf.image.resize(pictures, (height, width), antialias=True)
        pictures = tf.clip_by_value(resized, 0.0, 1.0)  # the filter's weights sum to 1 only up to rounding
    if pictures.shape[-1] == 1 and channels == RGB_CHANNELS:
        pictures = tf.image.grayscale_to_rgb(pictures)
    return pictures
