"""Turns indexed examples into batches: shuffles, reads, resizes, binarizes, flips and corrupts them, and adds labels.

A batch has the form that `VAE.fit` accepts: the data x, float32 `(B, H, W, C)` in [0, 1] or rows `(B, F)`; for a
conditional model, `((x, labels),)`; and with `corrupt`, the pair of the corrupted data (with its labels, if
conditional) and x.

All randomness in this module is a pure function of (seed, epoch, position in the epoch): which example is at that
position, the numbers that binarize its pixels, whether it is flipped, and the noise that corrupts it. So the pipeline
can start at any position of any epoch without replaying earlier batches, and with any batch size. Static binarization
is a function of (seed, example).
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from vae_tf.config import DataConfig
from vae_tf.config.data import Fit
from vae_tf.data.fit import fit_image
from vae_tf.data.modality import get_modality
from vae_tf.data.noise import RandomStream, binarize, corrupt, flip
from vae_tf.data.sources import ExampleSource

Split = Literal["train", "val", "test"]

ConfigT = TypeVar("ConfigT", bound=DataConfig)

FIXED_EPOCH = 0
RGB_CHANNELS = 3
# These are Pillow's weights; those in TensorFlow sum to 0.9999, so white would turn grey.
LUMA_WEIGHTS = (0.299, 0.587, 0.114)


class Shard(NamedTuple):
    """The shard of every batch that one worker reads.

    Given a batch of B examples, replica r of R reads rows `[r * B // R, (r + 1) * B // R)`.

    Attributes:
        first_replica: Index of the worker's first replica.
        num_local_replicas: Number of the worker's replicas; the elements of the dataset go to them in turn.
        num_replicas: R, the total number of replicas of all workers.
    """

    first_replica: int
    num_local_replicas: int
    num_replicas: int


NO_SHARDING = Shard(0, 1, 1)


def num_batches(examples: ExampleSource, batch_size: int) -> int:
    """Returns the number of batches in an epoch, including a short last one."""
    return math.ceil(len(examples) / batch_size)


def training_batches(
    examples: ExampleSource,
    config: DataConfig,
    example_shape: tuple[int, ...],
    shard: Shard = NO_SHARDING,
    start: int = 0,
) -> tf.data.Dataset:
    """Returns an infinite dataset of shuffled batches.

    Args:
        examples: The train split.
        config: `batch_size`, `seed`, `fit`, `flip`, `binarize`, `corrupt` and `conditional` are used.
        example_shape: Output shape: `(height, width, channels)` of images, or `(features,)`.
        shard: The shard of each batch that this worker reads; by default the whole batch.
        start: Index of the first batch, counted from 0 at the beginning of the first epoch.

    Returns:
        A dataset of batches; every `num_batches` of them form one epoch.
    """
    make_batch = _make_batch_function(examples, config, example_shape, "train", with_flips=config.flip)
    first_epoch, skipped = divmod(start, num_batches(examples, config.batch_size))

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = epoch_order(len(examples), config.seed, epoch)
        batches = _batch_positions(len(examples), config.batch_size, shard)
        remaining = batches.skip(
            tf.where(epoch == first_epoch, tf.constant(skipped * shard.num_local_replicas, tf.int64), 0)
        )
        return remaining.map(lambda rows: (tf.gather(order, rows), rows, epoch))

    positions = tf.data.Dataset.counter(start=first_epoch).flat_map(epoch_batches)
    return _map_and_prefetch(positions, make_batch, examples)


def evaluation_batches(
    examples: ExampleSource,
    config: DataConfig,
    example_shape: tuple[int, ...],
    split: Split,
    shard: Shard = NO_SHARDING,
) -> tf.data.Dataset:
    """Returns the batches of one pass over a split, in order; every pass has the same random numbers.

    Args:
        examples: The split.
        config: `batch_size`, `seed`, `fit`, `binarize`, `corrupt` and `conditional` are used; images are not flipped.
        example_shape: Output shape: `(height, width, channels)` of images, or `(features,)`.
        split: The name of the split; each split has its own random numbers.
        shard: The shard of each batch that this worker reads; by default the whole batch.

    Returns:
        A dataset of batches, `num_batches` long.
    """
    make_batch = _make_batch_function(examples, config, example_shape, split)
    batches, epoch = _batch_positions(len(examples), config.batch_size, shard), tf.constant(FIXED_EPOCH, tf.int64)
    return _map_and_prefetch(batches, lambda rows: make_batch(rows, rows, epoch), examples)


def _map_and_prefetch(
    positions: tf.data.Dataset, make_batch: Callable[..., Any], examples: ExampleSource
) -> tf.data.Dataset:
    """Returns the batches, prefetched: with many threads if files are read, otherwise with one thread, which leaves
    more CPU time for training.
    """
    if not examples.is_in_memory:
        return positions.map(make_batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    return positions.map(make_batch).prefetch(2).with_options(options)


def _batch_positions(num_examples: int, batch_size: int, shard: Shard) -> tf.data.Dataset:
    """Returns the positions in an epoch of the examples that a replica reads, for each batch and each local replica."""
    first, num_local_replicas, num_replicas = shard

    def positions(element: tf.Tensor) -> tf.Tensor:
        start, replica = element // num_local_replicas * batch_size, first + element % num_local_replicas
        size = tf.minimum(tf.constant(batch_size, tf.int64), num_examples - start)
        return tf.range(start + replica * size // num_replicas, start + (replica + 1) * size // num_replicas)

    return tf.data.Dataset.range(math.ceil(num_examples / batch_size) * num_local_replicas).map(positions)


def first_batch(
    examples: ExampleSource, config: DataConfig, example_shape: tuple[int, ...], split: Split, count: int
) -> Any:
    """Returns the first `count` examples of a split as one NumPy batch, like those of `evaluation_batches`."""
    subset = examples.subset(np.arange(min(count, len(examples))))
    one_batch_config = config.model_copy(update={"batch_size": max(1, len(subset))})
    return next(evaluation_batches(subset, one_batch_config, example_shape, split).as_numpy_iterator())


def without_corruption_and_conditioning(config: ConfigT) -> ConfigT:
    """Returns the config with corruption and conditioning turned off, so that a batch is only the data."""
    return config.model_copy(update={"corrupt": "none", "conditional": False})


def first_examples(
    examples: ExampleSource, config: DataConfig, example_shape: tuple[int, ...], split: Split, count: int
) -> np.ndarray:
    """Returns the first `count` examples of a split, uncorrupted, float32 `(min(count, N), *example_shape)`."""
    data: np.ndarray = first_batch(examples, without_corruption_and_conditioning(config), example_shape, split, count)
    return data


def epoch_order(num_examples: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the order of an epoch: a permutation of `range(num_examples)`, int64, determined by (seed, epoch)."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(num_examples, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    )


def _make_batch_function(
    examples: ExampleSource,
    config: DataConfig,
    example_shape: tuple[int, ...],
    split: Split,
    *,
    with_flips: bool = False,
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Any]:
    """Returns a function (indices `(B,)`, positions in the epoch `(B,)`, epoch) -> batch."""
    fixed = tf.constant(FIXED_EPOCH, tf.int64)
    read, preprocess = _make_reader(examples), get_modality(example_shape).preprocessor

    def make_batch(indices: tf.Tensor, positions: tf.Tensor, epoch: tf.Tensor) -> Any:
        stream = RandomStream(positions, epoch if split == "train" else fixed, config.seed, split)
        x = tf.cast(read(indices), tf.float32) / examples.scale
        if preprocess is not None:
            x = preprocess(x, example_shape, config.image_fit)
        if config.binarize != "none":
            is_fixed = config.binarize == "static" and split == "train"
            fixed_stream = RandomStream(indices, fixed, config.seed, split, is_consecutive=False)
            x = binarize(x, fixed_stream if is_fixed else stream)
        if with_flips:  # after binarization, so that a statically binarized image and its flip are mirror images
            x = flip(x, stream)
        if config.corrupt == "none":
            return ((x, _labels(examples, indices)),) if config.conditional else x
        inputs = corrupt(x, config.corrupt, stream)
        return ((inputs, _labels(examples, indices)) if config.conditional else inputs), x

    return make_batch


def _make_reader(examples: ExampleSource) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from indices `(B,)` to the examples at those indices."""
    if examples.is_in_memory:
        values = tf.constant(examples.read(np.arange(len(examples))))
        return lambda indices: tf.gather(values, indices)

    def read(indices: tf.Tensor) -> tf.Tensor:
        values = tf.numpy_function(examples.read, [indices], examples.dtype, stateful=False)
        return tf.ensure_shape(values, (None, *examples.example_shape))

    return read


def _labels(examples: ExampleSource, indices: tf.Tensor) -> tf.Tensor:
    return tf.gather(tf.constant(examples.labels), indices)


def resize_and_convert(images: tf.Tensor, example_shape: tuple[int, ...], fit: Fit = "stretch") -> tf.Tensor:
    """Resizes images `(B, h, w, c)` in [0, 1] to `example_shape`, and converts greyscale to RGB or back."""
    height, width, channels = example_shape
    if images.shape[-1] == RGB_CHANNELS and channels == 1:
        images = tf.reduce_sum(images * LUMA_WEIGHTS, axis=-1, keepdims=True)
    if tuple(images.shape[1:3]) != (height, width):
        images = _resize(images, (height, width), fit)
    if images.shape[-1] == 1 and channels == RGB_CHANNELS:
        images = tf.image.grayscale_to_rgb(images)
    return images


def _resize(images: tf.Tensor, size: tuple[int, int], fit: Fit) -> tf.Tensor:
    """Resizes images `(B, h, w, c)` in [0, 1] to `size` as `fit` says, with the antialiasing of `tf.image.resize`."""
    place = fit_image(tuple(images.shape[1:3]), size, fit)
    scale = (place.height / (place.bottom - place.top), place.width / (place.right - place.left))
    resized = tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=(place.height, place.width),
        scale=scale,
        translation=(-place.top * scale[0], -place.left * scale[1]),
        kernel_type="triangle",
    )
    resized = tf.clip_by_value(resized, 0.0, 1.0)  # the filter's weights sum to 1 only up to rounding
    rows, columns = (
        (first, whole - first - part) for first, whole, part in zip(place[6:], size, place[4:6], strict=True)
    )
    return tf.pad(resized, [(0, 0), rows, columns, (0, 0)], constant_values=1.0)
