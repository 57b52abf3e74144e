"""Objectives: from the terms of the evidence lower bound to what training minimizes.

For one example x and posterior draws z_k ~ q(z | x), k = 1..K (Kingma & Welling 2014, eq. 3):

    log p(x)  >=  ELBO  =  E_q[ log p(x | z) ]  -  KL( q(z | x) || p(z) )

`reconstruction_loss` is minus the first part and `kl_loss` the second, both in nats per example, so that
ELBO = -(reconstruction_loss + kl_loss).
"""

from typing import Any, NamedTuple

import keras
from keras import ops


class Terms(NamedTuple):
    """What one pass of B examples with K posterior draws each yields; float32, nats.

    Attributes:
        log_likelihood: log p(x | z) `(K, B)`.
        log_prior: log p(z) `(K, B)`.
        log_posterior: log q(z | x) `(K, B)`.
        kl: KL(q(z | x) || p(z)) `(B,)`, in closed form where one exists.
        z: The draws `(K, B, Z)`.
    """

    log_likelihood: keras.KerasTensor
    log_prior: keras.KerasTensor
    log_posterior: keras.KerasTensor
    kl: keras.KerasTensor
    z: keras.KerasTensor

    def reconstruction_loss(self) -> keras.KerasTensor:
        """Returns minus the expected log-likelihood `(B,)`."""
        return -ops.mean(self.log_likelihood, axis=0)

    def negative_elbo(self) -> keras.KerasTensor:
        """Returns minus the evidence lower bound `(B,)`."""
        return self.reconstruction_loss() + self.kl


class Objective(keras.layers.Layer):
    """What training minimizes.

    Args:
        **kwargs: As of `keras.layers.Layer`. Losses are float32 whatever the global dtype policy is.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, terms: Terms) -> keras.KerasTensor:
        """Returns the loss of each example `(B,)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(package="vae_tf")
class BetaELBO(Objective):
    """reconstruction_loss + beta * kl_loss (Higgins et al. 2017, eq. 4); beta 1 is the negative ELBO.

    Beta is a non-trainable variable, so that a schedule can assign it between steps.

    Args:
        beta: Weight of the KL term to begin with, at least 0. `get_config` returns it; the current value is a
            weight of the model, there once it is built.
        **kwargs: As of `keras.layers.Layer`.
    """

    def __init__(self, beta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= beta < float("inf"):
            raise ValueError(f"beta must be a finite number of at least 0. Received: beta={beta}")
        self._initial_beta = beta

    def build(self, input_shape: Any = None) -> None:
        """Creates the variable `beta`."""
        self.beta = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(self._initial_beta),
            trainable=False,
            dtype="float32",
            name="beta",
        )
        self.built = True

    def call(self, terms: Terms) -> keras.KerasTensor:
        """Returns the loss of each example `(B,)`."""
        return terms.reconstruction_loss() + self.beta * terms.kl

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "beta": self._initial_beta}
