"""From an indexed collection of examples to batches: order, reading, resizing, binarization, corruption, classes.

A batch is what `VAE.fit` takes: the data x, float32 `(B, H, W, C)` in [0, 1] or rows `(B, F)`; for a conditional
model `((x, classes),)`; and with `corrupt` the pair of corrupted data, classes beside them, and x.

Everything random here is a pure function of (seed, epoch, place in the epoch): the example that stands there, the draw
that makes its grey pixels 0 or 1, the noise that corrupts it. So any position of any epoch can be reached without
replaying what came before it, with batches of any size. A static draw is a function of (seed, example).
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
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # as Pillow's; TensorFlow's own sum to 0.9999, which is no white


class Share(NamedTuple):
    """What one worker reads of every batch: of B examples, replica r of R takes rows `[r * B // R, (r + 1) * B // R)`.

    Attributes:
        first: The first of its replicas.
        num_local: How many it has; each gets an element of the dataset in turn.
        num_replicas: R, those of all workers.
    """

    first: int
    num_local: int
    num_replicas: int


WHOLE = Share(0, 1, 1)


def num_batches(examples: Examples, batch_size: int) -> int:
    """Returns the number of batches in an epoch, a short last one included."""
    return math.ceil(len(examples) / batch_size)


def training_batches(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], share: Share = WHOLE, start: int = 0
) -> tf.data.Dataset:
    """Returns endless epochs of shuffled batches.

    Args:
        examples: The train split.
        config: `batch_size`, `seed`, `binarize`, `corrupt` and `conditional` are used.
        example_shape: `(height, width, channels)` of the pictures to deliver, or `(features,)`.
        share: What this worker reads; by default all.
        start: Number of the first batch, from 0 at the beginning of the first epoch.

    Returns:
        A dataset of batches; each `num_batches` of them are one epoch.
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
    """Returns one pass over a split in its own order; draws are the same in every pass.

    Args:
        examples: The split.
        config: `batch_size`, `seed`, `binarize`, `corrupt` and `conditional` are used.
        example_shape: `(height, width, channels)` of the pictures to deliver, or `(features,)`.
        split: Which split it is; each has its own draws.
        share: What this worker reads; by default all.

    Returns:
        A dataset of batches, `num_batches` long.
    """
    prepare = _preparation(examples, config, example_shape, split)
    batches, epoch = _positions(len(examples), config.batch_size, share), tf.constant(FIXED_EPOCH, tf.int64)
    return _prepared(batches, lambda rows: prepare(rows, rows, epoch), examples)


def _prepared(batches: tf.data.Dataset, prepare: Callable[..., Any], examples: Examples) -> tf.data.Dataset:
    """The batches, made ahead of training: by many threads where files are read, else by one, which leaves it more."""
    if not examples.is_in_memory:
        return batches.map(prepare, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    return batches.map(prepare).prefetch(2).with_options(options)


def _positions(num_examples: int, batch_size: int, share: Share) -> tf.data.Dataset:
    """The positions in an epoch of the examples of each batch, int64 `(B,)`: for each replica of the share its rows."""
    first, num_local, num_replicas = share

    def rows(piece: tf.Tensor) -> tf.Tensor:
        start, replica = piece // num_local * batch_size, first + piece % num_local
        size = tf.minimum(tf.constant(batch_size, tf.int64), num_examples - start)
        return tf.range(start + replica * size // num_replicas, start + (replica + 1) * size // num_replicas)

    return tf.data.Dataset.range(math.ceil(num_examples / batch_size) * num_local).map(rows)


def first_batch(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], split: Split, count: int
) -> Any:
    """Returns the first `count` examples of a split in one batch, as `evaluation_batches` delivers it, in numpy."""
    some = examples.subset(np.arange(min(count, len(examples))))
    whole = config.model_copy(update={"batch_size": max(1, len(some))})
    return next(evaluation_batches(some, whole, example_shape, split).as_numpy_iterator())


def clean(config: ConfigT) -> ConfigT:
    """Returns the config under which batches are the data alone: neither corrupted nor with classes."""
    return config.model_copy(update={"corrupt": "none", "conditional": False})


def first_pictures(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], split: Split, count: int
) -> np.ndarray:
    """Returns the first `count` pictures of a split, not corrupted, float32 `(min(count, N), H, W, C)` in [0, 1]."""
    pictures: np.ndarray = first_batch(examples, clean(config), example_shape, split, count)
    return pictures


def epoch_order(num_examples: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the order of an epoch: a permutation of `range(num_examples)`, int64, from (seed, epoch) alone."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(num_examples, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    )


def _preparation(
    examples: Examples, config: DataConfig, example_shape: tuple[int, ...], split: Split
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any]:
    """The function (indices `(B,)`, their positions in the epoch `(B,)`, epoch) -> batch."""
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
    """The function from indices `(B,)` to what the source holds there."""
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
    """Returns pictures `(B, h, w, c)` in [0, 1] brought to `example_shape`: float32 `(B, H, W, C)` in [0, 1]."""
    height, width, channels = example_shape
    if pictures.shape[-1] == RGB_CHANNELS and channels == 1:
        pictures = tf.reduce_sum(pictures * GREY_WEIGHTS, axis=-1, keepdims=True)
    if tuple(pictures.shape[1:3]) != (height, width):
        resized = tf.image.resize(pictures, (height, width), antialias=True)
        pictures = tf.clip_by_value(resized, 0.0, 1.0)  # the filter's weights sum to 1 only up to rounding
    if pictures.shape[-1] == 1 and channels == RGB_CHANNELS:
        pictures = tf.image.grayscale_to_rgb(pictures)
    return pictures
