"""The evidence lower bound."""

import keras

from vae_tf.model.objective.base import Objective
from vae_tf.model.terms import Terms


@keras.saving.register_keras_serializable(package="vae_tf")
class ELBO(Objective):
    """The loss reconstruction_loss + beta * kl_loss (Higgins et al. 2017, eq. 4); with beta 1, the negative ELBO.

    Its arguments are those of `Objective`.
    """

    def kl_penalty(self, terms: Terms) -> keras.KerasTensor:
        """Returns the KL loss `(B,)`."""
        return terms.kl_loss()
