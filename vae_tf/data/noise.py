"""Random changes to images, binarization and corruption, that do not depend on how examples are batched.

The random numbers of a split and epoch form one long stream, with one piece for each example. TensorFlow's generator
is counter-based (Salmon et al. 2011), so the pieces of a batch can be drawn at once from any position in the stream.
"""

import math
import zlib
from typing import NamedTuple

import tensorflow as tf

BLOCK = 4  # numbers per step of the counter
PHILOX = 1


class Draws(NamedTuple):
    """Determines the random numbers of a batch.

    Attributes:
        positions: Positions in the stream of the batch's pieces, int64 `(B,)`.
        epoch: The epoch, an int64 scalar.
        seed: Seed of the run. The test split does not depend on it, so that all seeds are evaluated on the same images.
        split: The split; each one has its own random numbers.
        consecutive: Whether the positions are consecutive; otherwise the pieces are drawn one by one.
    """

    positions: tf.Tensor
    epoch: tf.Tensor
    seed: int
    split: str
    consecutive: bool = True

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Returns uniform numbers in [0, 1), float32 `(B, *shape)`; each purpose gets different numbers."""
        return self._pieces(tf.raw_ops.StatelessRandomUniformV2, purpose, shape)

    def normal(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Returns standard normal noise, float32 `(B, *shape)`; each purpose gets different noise."""
        return self._pieces(tf.raw_ops.StatelessRandomNormalV2, purpose, shape)

    def _pieces(self, operation: tf.Operation, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        owner = ("test" if self.split == "test" else f"{self.seed}/{self.split}") + purpose
        seed = tf.stack([tf.constant(zlib.crc32(owner.encode()), tf.int64), self.epoch])
        key, _ = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
        size = math.prod(shape)
        blocks = math.ceil(size / BLOCK)

        def pieces(first: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
            counter = tf.cast(tf.stack([first * blocks, 0]), tf.uint64)
            drawn = operation(shape=tf.stack([count, blocks * BLOCK]), key=key, counter=counter, alg=PHILOX)
            return tf.reshape(drawn[:, :size], (-1, *shape))

        if self.consecutive:
            return pieces(tf.reduce_sum(self.positions[:1]), tf.size(self.positions))  # 0 if empty
        one_by_one = tf.map_fn(lambda first: pieces(first, 1)[0], self.positions, fn_output_signature=tf.float32)
        return tf.ensure_shape(one_by_one, (None, *shape))


def binarized(pictures: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Returns binary images, in which a pixel is 1 with its grey value as probability, float32 `(B, H, W, C)`."""
    return tf.cast(draws.uniform("", pictures.shape[1:]) < pictures, tf.float32)


def corrupted(pictures: tf.Tensor, corruption: str, draws: Draws) -> tf.Tensor:
    """Returns corrupted images, float32 `(B, H, W, C)` in [0, 1].

    Args:
        pictures: Images `(B, H, W, C)` in [0, 1].
        corruption: `"gaussian:s"` adds normal noise of standard deviation s and clips to [0, 1]; `"salt-pepper:p"`
            turns each pixel black or white with probability p; `"mask:p"` turns each pixel black with probability p.
            The channels of a pixel are replaced together, but each gets its own Gaussian noise.
        draws: Determines the random numbers.
    """
    kind, _, number = corruption.partition(":")
    amount, shape = float(number), tuple(pictures.shape[1:])
    if kind == "gaussian":
        return tf.clip_by_value(pictures + amount * draws.normal(corruption, shape), 0.0, 1.0)
    uniform = draws.uniform(corruption, (*shape[:2], 1))
    black = tf.where(uniform < amount, 0.0, pictures)
    return black if kind == "mask" else tf.where(uniform < amount / 2, 1.0, black)
