"""The noise from which posterior samples are computed."""

from typing import Any, TypeAlias

import keras

from vae_tf.backend import replicas
from vae_tf.backend.kernels import normal_from_seeds

# An integer, a generator, or one seed per example, int32 (B, 2).
Seed: TypeAlias = int | keras.random.SeedGenerator | keras.KerasTensor


def standard_normal(shape: Any, seed: Seed) -> keras.KerasTensor:
    """Returns standard normal noise, float32.

    Args:
        shape: `(K, B, Z)`; with a single seed, any shape.
        seed: An integer or a generator, as in `keras.random.normal`; or one seed per example, int32 `(B, 2)`, which
            makes the noise of an example independent of its batch.
    """
    if isinstance(seed, int | keras.random.SeedGenerator):
        return replicas.standard_normal(shape, seed)
    return normal_from_seeds(shape, seed)
