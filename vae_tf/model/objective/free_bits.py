"""Free bits."""

import functools
import operator
from typing import Any

import keras
from keras import ops

from vae_tf.model.objective.base import Objective
from vae_tf.model.terms import Terms


@keras.saving.register_keras_serializable(package="vae_tf")
class FreeBits(Objective):
    """The ELBO with sum_j max(free_bits, KL_j) in place of the KL loss (Kingma et al. 2016, eq. 15).

    A dimension whose KL is below that costs the same whether it is used or not, so that none is given up early. The
    maximum is taken for each example and dimension, or for each group of latents whose KL has no closed form.

    Args:
        free_bits: Nats of each dimension, or of each group without a closed form, that cost nothing, at least 0.
        **kwargs: As of `Objective`.

    Raises:
        ValueError: `free_bits` is negative or not a number.
    """

    def __init__(self, free_bits: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not free_bits >= 0:
            raise ValueError(f"free_bits must be at least 0. Received: free_bits={free_bits}")
        self.free_bits = free_bits

    def kl_penalty(self, terms: Terms) -> keras.KerasTensor:
        """Returns the KL loss with each part raised to `free_bits`, `(B,)`."""
        groups = [ops.sum(ops.maximum(kl, self.free_bits), axis=-1) for kl in terms.inferred.kl.values()]
        return functools.reduce(operator.add, groups)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "free_bits": self.free_bits}
