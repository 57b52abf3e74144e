"""Latent models: how latents are inferred from data, and generated without it."""

from vae_tf.model.latents.base import LatentModel
from vae_tf.model.latents.flat import FlatLatents

__all__ = ["FlatLatents", "LatentModel"]
