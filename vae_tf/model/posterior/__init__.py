"""Approximate posteriors q(z | x), which interpret the encoder's outputs."""

from vae_tf.model.posterior.base import Posterior
from vae_tf.model.posterior.diagonal_normal import DiagonalNormal

__all__ = ["DiagonalNormal", "Posterior"]
