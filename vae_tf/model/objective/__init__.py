"""Objectives, which turn the terms of the evidence lower bound into the loss that training minimizes."""

from vae_tf.model.objective.base import Objective
from vae_tf.model.objective.elbo import ELBO

__all__ = ["ELBO", "Objective"]
