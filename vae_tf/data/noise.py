"""Random image transformations (binarization, flips and corruption) that do not depend on how examples are batched.

The random numbers of a split and epoch form one long stream, with one chunk for each example. TensorFlow's generator is
counter-based (Salmon et al. 2011), so the chunks of a whole batch can be drawn with one call, from any position in the
stream.
"""

import math
import zlib
from typing import NamedTuple

import tensorflow as tf

RANDOM_NUMBERS_PER_COUNTER_VALUE = 4
PHILOX = 1  # TensorFlow's enum value for this algorithm


class RandomStream(NamedTuple):
    """Random numbers for one batch.

    Attributes:
        positions: Each example's position in the stream, int64 `(B,)`.
        epoch: The epoch, an int64 scalar.
        seed: Seed of the run. The test split ignores it, so that all seeds are evaluated on the same images.
        split: The split; each split has its own random numbers.
        is_consecutive: Whether the positions are consecutive; otherwise the chunks are drawn one by one.
    """

    positions: tf.Tensor
    epoch: tf.Tensor
    seed: int
    split: str
    is_consecutive: bool = True

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Returns uniform numbers in [0, 1), float32 `(B, *shape)`; each purpose gets different numbers."""
        return self._draw(tf.raw_ops.StatelessRandomUniformV2, purpose, shape)

    def normal(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Returns standard normal noise, float32 `(B, *shape)`; each purpose gets different noise."""
        return self._draw(tf.raw_ops.StatelessRandomNormalV2, purpose, shape)

    def _draw(self, operation: tf.Operation, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        stream_name = ("test" if self.split == "test" else f"{self.seed}/{self.split}") + purpose
        seed = tf.stack([tf.constant(zlib.crc32(stream_name.encode()), tf.int64), self.epoch])
        key, _ = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
        size = math.prod(shape)
        counters_per_example = math.ceil(size / RANDOM_NUMBERS_PER_COUNTER_VALUE)

        def draw_chunks(first: tf.Tensor, num_chunks: tf.Tensor) -> tf.Tensor:
            counter = tf.cast(tf.stack([first * counters_per_example, 0]), tf.uint64)
            chunk_size = counters_per_example * RANDOM_NUMBERS_PER_COUNTER_VALUE
            numbers = operation(shape=tf.stack([num_chunks, chunk_size]), key=key, counter=counter, alg=PHILOX)
            return tf.reshape(numbers[:, :size], (-1, *shape))

        if self.is_consecutive:
            first = tf.reduce_sum(self.positions[:1])  # the sum is 0 for an empty batch
            return draw_chunks(first, tf.size(self.positions))
        chunks = tf.map_fn(lambda position: draw_chunks(position, 1)[0], self.positions, fn_output_signature=tf.float32)
        return tf.ensure_shape(chunks, (None, *shape))


def binarize(images: tf.Tensor, stream: RandomStream) -> tf.Tensor:
    """Returns binary images, float32 `(B, H, W, C)`; each pixel is 1 with probability equal to its pixel intensity."""
    return tf.cast(stream.uniform("", images.shape[1:]) < images, tf.float32)


def flip(images: tf.Tensor, stream: RandomStream) -> tf.Tensor:
    """Returns images `(B, H, W, C)`, each flipped from left to right with probability 1/2."""
    return tf.where(stream.uniform("flip", (1, 1, 1)) < 0.5, tf.reverse(images, [2]), images)


def corrupt(images: tf.Tensor, corruption: str, stream: RandomStream) -> tf.Tensor:
    """Returns corrupted images, float32 `(B, H, W, C)` in [0, 1].

    Args:
        images: Images `(B, H, W, C)` in [0, 1].
        corruption: `"gaussian:s"` adds normal noise of standard deviation s and clips to [0, 1]; `"salt-pepper:p"`
            turns each pixel black or white with probability p; `"mask:p"` turns each pixel black with probability p.
            All channels of a pixel are replaced together, but each channel gets its own Gaussian noise.
        stream: The random numbers.
    """
    kind, _, number = corruption.partition(":")
    amount, shape = float(number), tuple(images.shape[1:])
    if kind == "gaussian":
        return tf.clip_by_value(images + amount * stream.normal(corruption, shape), 0.0, 1.0)
    uniform = stream.uniform(corruption, (*shape[:2], 1))
    black = tf.where(uniform < amount, 0.0, images)
    return black if kind == "mask" else tf.where(uniform < amount / 2, 1.0, black)
