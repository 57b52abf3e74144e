"""Latent models, which infer latents from data and generate latents without data."""

from vae_tf.model.latents.base import LatentModel
from vae_tf.model.latents.flat import FlatLatents

__all__ = ["FlatLatents", "LatentModel"]
