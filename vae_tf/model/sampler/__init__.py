"""Samplers: distributions fitted to the latents of a trained model, which replace its prior when generating."""

from vae_tf.model.sampler.base import PRIOR, Sampler, sampler_name

__all__ = ["PRIOR", "Sampler", "sampler_name"]
