"""Samplers: distributions fitted to the latents of a trained model, which replace its prior when generating."""

from vae_tf.model.sampler.base import Sampler, sampler_name

__all__ = ["Sampler", "sampler_name"]
