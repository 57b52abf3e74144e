"""The objective with free bits."""

import functools
import operator
from typing import Any

import keras
from keras import ops

from vae_tf.model.objective.base import Objective
from vae_tf.model.terms import Terms


@keras.saving.register_keras_serializable(package="vae_tf")
class FreeBits(Objective):
    """The ELBO with sum_j max(free_bits, KL_j) instead of the KL loss (Kingma et al. 2016, eq. 15).

    Dimensions with a KL below `free_bits` are not penalized further, which prevents early posterior collapse. The
    maximum applies per example and dimension, or per group of latents if its KL has no closed form.

    Args:
        free_bits: Free nats per dimension (or per group without a closed-form KL), at least 0.
        **kwargs: Passed to `Objective`.

    Raises:
        ValueError: `free_bits` is negative or not a number.
    """

    def __init__(self, free_bits: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not free_bits >= 0:
            raise ValueError(f"free_bits must be at least 0. Received: free_bits={free_bits}")
        self.free_bits = free_bits

    def kl_penalty(self, terms: Terms) -> keras.KerasTensor:
        """Returns the KL loss with each KL term clamped to at least `free_bits`, `(B,)`."""
        groups = [ops.sum(ops.maximum(kl, self.free_bits), axis=-1) for kl in terms.inferred.kl.values()]
        return functools.reduce(operator.add, groups)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "free_bits": self.free_bits}
