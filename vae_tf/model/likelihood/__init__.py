"""Likelihoods p(x | z), which interpret the decoder's outputs.

An example has shape `(H, W, C)` for images; `log_prob` sums over all of its axes, in nats.
"""

from vae_tf.model.likelihood.base import Likelihood
from vae_tf.model.likelihood.bernoulli import Bernoulli, ContinuousBernoulli
from vae_tf.model.likelihood.gaussian import Gaussian, LearnedGaussian
from vae_tf.model.likelihood.logistic import DiscretizedLogisticMixture

__all__ = [
    "Bernoulli",
    "ContinuousBernoulli",
    "DiscretizedLogisticMixture",
    "Gaussian",
    "LearnedGaussian",
    "Likelihood",
]
