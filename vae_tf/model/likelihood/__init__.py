"""Likelihoods p(x | z): what the decoder's numbers mean.

Shapes: an example is `(H, W, C)` for pictures; `log_prob` sums over all its axes, in nats.
"""

from vae_tf.model.likelihood.base import Likelihood
from vae_tf.model.likelihood.bernoulli import Bernoulli, ContinuousBernoulli
from vae_tf.model.likelihood.gaussian import Gaussian, LearnedGaussian
from vae_tf.model.likelihood.logistic import LogisticMixture

__all__ = ["Bernoulli", "ContinuousBernoulli", "Gaussian", "LearnedGaussian", "Likelihood", "LogisticMixture"]
