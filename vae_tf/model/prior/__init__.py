"""Priors p(z)."""

from vae_tf.model.prior.base import Prior
from vae_tf.model.prior.standard_normal import StandardNormal

__all__ = ["Prior", "StandardNormal"]
