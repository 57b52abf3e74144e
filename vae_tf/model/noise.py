"""The noise that posterior samples are computed from."""

from typing import Any, TypeAlias

import keras

from vae_tf.backend import replicas
from vae_tf.backend.kernels import normal_per_example

# An integer, a generator, or one seed per example, int32 (B, 2).
Seed: TypeAlias = int | keras.random.SeedGenerator | keras.KerasTensor


def standard_normal(shape: Any, seed: Seed) -> keras.KerasTensor:
    """Returns standard normal noise, float32.

    Args:
        shape: `(K, B, Z)`; with a single seed, any shape.
        seed: One seed per example, int32 `(B, 2)`, makes an example's noise independent of its batch; otherwise as in
            `keras.random.normal`.
    """
    if isinstance(seed, int | keras.random.SeedGenerator):
        return replicas.standard_normal(shape, seed)
    return normal_per_example(shape, seed)
