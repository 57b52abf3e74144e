"""Objectives, which compute the training loss from the terms of the evidence lower bound."""

from vae_tf.model.objective.base import Objective
from vae_tf.model.objective.elbo import ELBO

__all__ = ["ELBO", "Objective"]
