"""Random changes of pictures: binarization and corruption, each example's own whatever batch it is in.

All draws of a split and epoch are one long stream of random numbers, a piece of it for each example. TensorFlow's
generator is counter-based (Salmon et al. 2011), so that the pieces of a batch are drawn at once, from wherever in the
stream they begin.
"""

import math
import zlib
from typing import NamedTuple

import tensorflow as tf

BLOCK = 4  # numbers for each step of the counter
PHILOX = 1


class Draws(NamedTuple):
    """What decides the draws of a batch.

    Attributes:
        positions: Which pieces of the stream are those of the batch, int64 `(B,)`.
        epoch: int64 scalar.
        seed: Of the run. The test split's draws do not depend on it: seeds are judged on the same pictures.
        split: Each split has its own draws.
        consecutive: Whether every position is the one before it and 1; else they are drawn one by one.
    """

    positions: tf.Tensor
    epoch: tf.Tensor
    seed: int
    split: str
    consecutive: bool = True

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Returns numbers in [0, 1) for examples of `shape`, float32 `(B, *shape)`; others for each purpose."""
        return self._pieces(tf.raw_ops.StatelessRandomUniformV2, purpose, shape)

    def normal(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Returns noise N(0, 1) for examples of `shape`, float32 `(B, *shape)`; another for each purpose."""
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
            return pieces(tf.reduce_sum(self.positions[:1]), tf.size(self.positions))  # 0 of an empty batch
        one_by_one = tf.map_fn(lambda first: pieces(first, 1)[0], self.positions, fn_output_signature=tf.float32)
        return tf.ensure_shape(one_by_one, (None, *shape))


def binarized(pictures: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Returns pictures of 0 and 1, each pixel 1 with its grey value as probability, float32 `(B, H, W, C)`."""
    return tf.cast(draws.uniform("", pictures.shape[1:]) < pictures, tf.float32)


def corrupted(pictures: tf.Tensor, corruption: str, draws: Draws) -> tf.Tensor:
    """Returns pictures with noise on them, float32 `(B, H, W, C)` in [0, 1].

    Args:
        pictures: `(B, H, W, C)` in [0, 1].
        corruption: `"gaussian:s"`: normal noise of standard deviation s, then cut at 0 and 1;
            `"salt-pepper:p"`: each pixel black or white with probability p; `"mask:p"`: each pixel black with
            probability p. All channels of a pixel share its fate, but not the gaussian noise.
        draws: What decides the noise.
    """
    kind, _, number = corruption.partition(":")
    amount, shape = float(number), tuple(pictures.shape[1:])
    if kind == "gaussian":
        return tf.clip_by_value(pictures + amount * draws.normal(corruption, shape), 0.0, 1.0)
    uniform = draws.uniform(corruption, (*shape[:2], 1))
    black = tf.where(uniform < amount, 0.0, pictures)
    return black if kind == "mask" else tf.where(uniform < amount / 2, 1.0, black)
