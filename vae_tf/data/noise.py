"""Random changes of pictures: binarization and corruption, each example's own whatever batch it is in."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Draws(NamedTuple):
    """What decides the draws of a batch.

    Attributes:
        indices: Position of each example in its split, int64 `(B,)`.
        epoch: int64 scalar.
        seed: Of the run. The test split's draws do not depend on it: seeds are judged on the same pictures.
        split: Each split has its own draws.
    """

    indices: tf.Tensor
    epoch: tf.Tensor
    seed: int
    split: str

    def of_examples(self, purpose: str, draw: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
        """Returns `draw(key)` of every example `(B, ...)`, float32, with a key of its own for each purpose."""
        owner = ("test" if self.split == "test" else f"{self.seed}/{self.split}") + purpose
        owner_key = tf.constant(zlib.crc32(owner.encode()), tf.int64)

        def of_example(index: tf.Tensor) -> tf.Tensor:
            return draw(tf.random.experimental.stateless_fold_in(tf.stack([owner_key, index]), self.epoch))

        return tf.map_fn(of_example, self.indices, fn_output_signature=tf.float32)


def binarized(pictures: tf.Tensor, draws: Draws) -> tf.Tensor:
    """Returns pictures of 0 and 1, each pixel 1 with its grey value as probability, float32 `(B, H, W, C)`."""
    shape = pictures.shape[1:]
    return tf.cast(draws.of_examples("", lambda key: tf.random.stateless_uniform(shape, key)) < pictures, tf.float32)


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
    amount, shape = float(number), pictures.shape[1:]
    if kind == "gaussian":
        noise = draws.of_examples(corruption, lambda key: tf.random.stateless_normal(shape, key))
        return tf.clip_by_value(pictures + amount * noise, 0.0, 1.0)
    uniform = draws.of_examples(corruption, lambda key: tf.random.stateless_uniform((*shape[:2], 1), key))
    black = tf.where(uniform < amount, 0.0, pictures)
    return black if kind == "mask" else tf.where(uniform < amount / 2, 1.0, black)
