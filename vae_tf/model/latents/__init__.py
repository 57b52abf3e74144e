"""Latent models, which infer latents from data, decode them, and sample latents from the prior."""

from vae_tf.model.latents.base import LatentModel
from vae_tf.model.latents.flat import FlatLatents

__all__ = ["FlatLatents", "LatentModel"]
