"""The results of a forward pass, from which an objective computes the loss.

For one example x and posterior samples z_k ~ q(z | x), k = 1..K (Kingma & Welling 2014, eq. 3):

    log p(x)  >=  ELBO  =  E_q[ log p(x | z) ]  -  KL( q(z | x) || p(z) )

`reconstruction_loss` is the negative of the first term and `kl_loss` is the second, both in nats per example, so
ELBO = -(reconstruction_loss + kl_loss).
"""

import functools
import operator
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import keras
from keras import ops

from vae_tf.registry import LOSSES


class Inferred(NamedTuple):
    """The latents inferred for B examples with K posterior samples each.

    All arrays are float32; log-probabilities, KL and losses are in nats.

    Attributes:
        z: The samples `(K, B, Z)`.
        log_posterior: log q(z | x) `(K, B)`.
        log_prior: log p(z) `(K, B)`; `None` for a model without a prior.
        kl: KL(q(z | x) || p(z)) `(B, d)` by group of latents; d is the group's number of latent dimensions if the KL
            has a closed form, otherwise 1.
        params: Raw posterior parameters `(B, P)`; `None` for a model without a posterior.
        losses: Additional losses of the latent model by name, `(B,)` each.
        decoded: Raw likelihood parameters `(K, B, H, W, P)` if `infer` has already run the decoder; otherwise `None`.
    """

    z: keras.KerasTensor
    log_posterior: keras.KerasTensor
    log_prior: keras.KerasTensor | None
    kl: Mapping[str, keras.KerasTensor]
    params: keras.KerasTensor | None = None
    losses: Mapping[str, keras.KerasTensor] = MappingProxyType({})
    decoded: keras.KerasTensor | None = None


class Terms(NamedTuple):
    """The terms of the ELBO of B examples with K posterior samples each.

    All arrays are float32; log-probabilities, KL and losses are in nats.

    Attributes:
        inferred: The result of the latent model.
        log_likelihood: log p(x | z) `(K, B)`.
    """

    inferred: Inferred
    log_likelihood: keras.KerasTensor

    def reconstruction_loss(self) -> keras.KerasTensor:
        """Returns the negative expected log-likelihood `(B,)`."""
        return -ops.mean(self.log_likelihood, axis=0)

    def kl_loss(self) -> keras.KerasTensor:
        """Returns KL(q(z | x) || p(z)) summed over latents, `(B,)`; 0 for a model without a prior."""
        groups = [ops.sum(kl, axis=-1) for kl in self.inferred.kl.values()]
        if not groups:
            return ops.zeros_like(self.log_likelihood[0])
        return functools.reduce(operator.add, groups)

    def negative_elbo(self) -> keras.KerasTensor:
        """Returns the negative evidence lower bound `(B,)`."""
        return self.reconstruction_loss() + self.kl_loss()

    def add_latent_losses(self, loss: keras.KerasTensor) -> keras.KerasTensor:
        """Returns a loss `(B,)` plus the additional losses of the latent model."""
        return functools.reduce(operator.add, self.inferred.losses.values(), loss)

    def losses_by_name(self, loss: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """Returns the losses of each example by name, `(B,)` each; `loss` is the total."""
        values = (loss, self.reconstruction_loss(), self.kl_loss())
        return {**dict(zip(LOSSES, values, strict=True)), **self.inferred.losses}
