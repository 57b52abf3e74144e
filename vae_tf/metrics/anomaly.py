"""Anomaly scores: how little a picture belongs to what a model was trained on; higher is more anomalous.

The likelihood alone does not tell. A Fashion-MNIST model gives MNIST digits a higher one than it gives clothes
(Nalisnick et al. 2019), as it also counts how easy a picture is to describe. Both scores take that out: the first
subtracts the loss of a perfect reconstruction, the second that of the best the decoder can do.

A score is a function (model, batches, seed) -> float64 `(N,)` in nats, listed in `vae_tf.registry.ANOMALY_SCORES`. The
noise of a picture depends on the seed and on its place alone, not on its batch.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from vae_tf.metrics.elbo import elbo_per_image, seeded
from vae_tf.model.vae import VAE, Observed

STEPS = 100
FIRST_STEP_SIZE = 0.1
DRAWS = 10
ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-7


def bias_corrected(vae: VAE, batches: Iterable[Any], seed: int) -> np.ndarray:
    """Returns minus the ELBO plus the log-likelihood of a perfect reconstruction (Chauhan et al. 2022).

    What is left is the loss that a better model could have avoided. On grey values the Bernoulli formula is no
    likelihood, and even a perfect reconstruction costs the entropy of the values: 191 nats for a picture of
    Fashion-MNIST, 45 for one of MNIST.

    Args:
        vae: The model.
        batches: As `fit` takes them, to be gone through twice.
        seed: Seed of the posterior draw behind the ELBO, which is that of `elbo_per_image`.
    """
    peak = tf.function(vae.likelihood.peak_log_prob, reduce_retracing=True)
    peaks = [peak(tf.convert_to_tensor(vae.observed(batch).target)) for batch in batches]
    return elbo_per_image(vae, batches, seed).negative_elbo + np.concatenate(peaks)


def likelihood_regret(vae: VAE, batches: Iterable[Any], seed: int) -> np.ndarray:
    """Returns how much higher the ELBO is under the best posterior than under the encoder's (Xiao et al. 2020).

    The parameters of each picture's posterior are optimized with the decoder fixed, by Adam, whose step size falls to
    0; each step draws anew. Both ELBOs are means over the same draws; a value below 0 says that no better posterior was
    found.

    Args:
        vae: The model.
        batches: As `fit` takes them.
        seed: Seed of the draws.
    """

    @tf.function(reduce_retracing=True)
    def regret(seen: Observed, seeds: tf.Tensor) -> tf.Tensor:
        def loss(params: tf.Tensor, num_samples: int, block: tf.Tensor) -> tf.Tensor:
            return _negative_elbo(vae, params, seen, num_samples, seeds + tf.stack([0, block]))

        given = vae.posterior_params(seen.inputs, seen.labels)
        best = _minimized(lambda params, step: loss(params, 1, step + 1), given)
        return loss(given, DRAWS, 0) - loss(best, DRAWS, 0)

    return np.concatenate([regret(seen, seeds) for seen, seeds in seeded(vae, batches, seed)]).astype(np.float64)


def _negative_elbo(vae: VAE, params: tf.Tensor, seen: Observed, num_samples: int, seeds: tf.Tensor) -> tf.Tensor:
    """Minus the ELBO `(B,)` under posterior parameters `(B, P)`."""
    z = vae.posterior.sample(ops.broadcast_to(params, (num_samples, *ops.shape(params))), seeds)
    labels = None if seen.labels is None else tf.tile(seen.labels, [num_samples])
    decoded = vae.likelihood_params(tf.reshape(z, (-1, z.shape[-1])), labels)
    decoded = tf.reshape(decoded, (num_samples, -1, *decoded.shape[1:]))
    return vae.prior.kl(vae.posterior, params, z) - tf.reduce_mean(
        vae.likelihood.log_prob(decoded, seen.target), axis=0
    )


def _minimized(loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], start: tf.Tensor) -> tf.Tensor:
    """Where Adam (Kingma & Ba 2015) comes from `start` `(B, P)` on `loss(values, step)` `(B,)`, each row by itself."""
    values, first, second = start, tf.zeros_like(start), tf.zeros_like(start)
    for step in tf.range(STEPS):
        with tf.GradientTape() as tape:
            tape.watch(values)
            losses = loss(values, step)
        gradient = tape.gradient(losses, values)
        first += (1 - ADAM_DECAYS[0]) * (gradient - first)
        second += (1 - ADAM_DECAYS[1]) * (tf.square(gradient) - second)
        done = tf.cast(step, tf.float32)
        means = first / (1 - ADAM_DECAYS[0] ** (done + 1))
        squares = second / (1 - ADAM_DECAYS[1] ** (done + 1))
        values -= FIRST_STEP_SIZE * (1 - done / STEPS) * means / (tf.sqrt(squares) + ADAM_EPSILON)
    return values
