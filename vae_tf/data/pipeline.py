"""From an indexed collection of pictures to batches: order, reading, resizing, binarization.

Everything random here is a pure function of (seed, epoch, example): the order of an epoch, and the draw
that makes a grey pixel 0 or 1. So any position of any epoch can be reached without replaying what came
before it.
"""

import math
import zlib
from collections.abc import Callable
from typing import Literal

import numpy as np
import tensorflow as tf

from vae_tf.config import DataConfig
from vae_tf.data.sources import Examples

Split = Literal["train", "val", "test"]

FIXED_EPOCH = 0
RGB_CHANNELS = 3
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # as Pillow's; TensorFlow's own sum to 0.9999, which is no white


def num_batches(examples: Examples, batch_size: int) -> int:
    """Returns the number of batches in an epoch, a short last one included."""
    return math.ceil(len(examples) / batch_size)


def training_batches(examples: Examples, config: DataConfig, example_shape: tuple[int, int, int]) -> tf.data.Dataset:
    """Returns endless epochs of shuffled batches.

    Args:
        examples: The train split.
        config: `batch_size`, `seed` and `binarize` are used.
        example_shape: `(height, width, channels)` of the pictures to deliver.

    Returns:
        A dataset of float32 `(B, H, W, C)` in [0, 1]; each `num_batches` of them are one epoch.
    """
    prepare = _preparation(examples, config, example_shape, "train")

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = epoch_order(len(examples), config.seed, epoch)
        batches = tf.data.Dataset.from_tensor_slices(order).batch(config.batch_size)
        return batches.map(lambda indices: (indices, epoch))

    epochs = tf.data.Dataset.counter(start=0)
    return epochs.flat_map(epoch_batches).map(prepare, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    examples: Examples, config: DataConfig, example_shape: tuple[int, int, int], split: Split
) -> tf.data.Dataset:
    """Returns one pass over a split in its own order; a binarization draw is the same in every pass.

    Args:
        examples: The split.
        config: `batch_size`, `seed` and `binarize` are used.
        example_shape: `(height, width, channels)` of the pictures to deliver.
        split: Which split it is; each has its own draws.

    Returns:
        A dataset of float32 `(B, H, W, C)` in [0, 1], `num_batches` long.
    """
    prepare = _preparation(examples, config, example_shape, split)
    batches = tf.data.Dataset.range(len(examples)).batch(config.batch_size)
    epoch = tf.constant(FIXED_EPOCH, tf.int64)
    return batches.map(lambda indices: prepare(indices, epoch), tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def first_pictures(
    examples: Examples,
    config: DataConfig,
    example_shape: tuple[int, int, int],
    split: Split,
    count: int,
) -> np.ndarray:
    """Returns the first `count` pictures of a split as `evaluation_batches` delivers them.

    Returns:
        float32 `(min(count, N), H, W, C)` in [0, 1].
    """
    some = examples.subset(np.arange(min(count, len(examples))))
    return np.concatenate(list(evaluation_batches(some, config, example_shape, split).as_numpy_iterator()))


def epoch_order(num_examples: int, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the order of an epoch: a permutation of `range(num_examples)`, int64, from (seed, epoch) alone."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(num_examples, dtype=tf.int64), seed=tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    )


def _preparation(
    examples: Examples, config: DataConfig, example_shape: tuple[int, int, int], split: Split
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function (indices `(B,)`, epoch) -> pictures `(B, H, W, C)` in [0, 1]."""

    def prepare(indices: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(examples.read, [indices], examples.dtype, stateful=False)
        pixels.set_shape((None, *examples.example_shape))
        pictures = fit_pictures(tf.cast(pixels, tf.float32) / examples.scale, example_shape)
        if config.binarize == "none":
            return pictures
        drawn_in = epoch if config.binarize == "dynamic" and split == "train" else tf.constant(FIXED_EPOCH, tf.int64)
        return _binarized(pictures, indices, drawn_in, config.seed, split)

    return prepare


def fit_pictures(pictures: tf.Tensor, example_shape: tuple[int, int, int]) -> tf.Tensor:
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


def _binarized(pictures: tf.Tensor, indices: tf.Tensor, epoch: tf.Tensor, seed: int, split: str) -> tf.Tensor:
    """Pictures of 0 and 1, each pixel 1 with its grey value as probability; of the test split the same for any seed."""
    split_key = zlib.crc32(b"test" if split == "test" else f"{seed}/{split}".encode())

    def uniform(index: tf.Tensor) -> tf.Tensor:
        key = tf.random.experimental.stateless_fold_in(tf.stack([tf.constant(split_key, tf.int64), index]), epoch)
        return tf.random.stateless_uniform(pictures.shape[1:], seed=key)

    draws = tf.map_fn(uniform, indices, fn_output_signature=tf.float32)
    return tf.cast(draws < pictures, tf.float32)
