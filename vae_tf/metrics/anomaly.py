"""Anomaly scores: how unlike the training data an example is; higher is more anomalous.

The likelihood alone is not a good anomaly score. A model of Fashion-MNIST gives MNIST digits a higher likelihood than
clothes (Nalisnick et al. 2019), because the likelihood also depends on how simple an image is.

A score is a function (model, batches, reference, seed) -> float64 `(N,)`, listed in `vae_tf.registry.ANOMALY_SCORES`.
The noise of an example depends only on the seed and on its position, not on its batch.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from vae_tf.backend.compiled import compiled, gradient_at
from vae_tf.metrics.elbo import seeded
from vae_tf.model.latents import FlatLatents
from vae_tf.model.terms import Terms
from vae_tf.model.vae import VAE, Observed
from vae_tf.support.errors import InputError

STEPS = 100
FIRST_STEP_SIZE = 0.1
DRAWS = 10
ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-7


def mahalanobis(vae: VAE, batches: Iterable[Any], reference: Iterable[Any], seed: int) -> np.ndarray:
    """Returns the squared Mahalanobis distance to the training data, over posterior means and ELBO terms.

    Denouden et al. (2018) add the distance of the latents to the reconstruction loss. Here all of them are coordinates
    of one distance, so that a loss that is too low counts as much as one that is too high. Another coordinate is the
    log-likelihood of a perfect reconstruction (Chauhan et al. 2022): on grey values, where the Bernoulli formula is not
    a likelihood, even a perfect reconstruction costs the entropy of the values, 191 nats for a Fashion-MNIST image and
    45 for an MNIST image. The covariance is estimated as in Ledoit & Wolf (2004), which needs few examples.

    Args:
        vae: The model.
        batches: Batches to score, as `fit` takes them.
        reference: Batches of training examples.
        seed: Seed of the posterior draws for the ELBO.

    Returns:
        float64 `(N,)`, in squared standard deviations: about Z + 3 for examples like the training data.
    """
    from sklearn.covariance import LedoitWolf
    from sklearn.preprocessing import StandardScaler

    known = _features(vae, reference, seed)
    scaler = StandardScaler().fit(known)
    distribution = LedoitWolf().fit(scaler.transform(known))
    distances: np.ndarray = distribution.mahalanobis(scaler.transform(_features(vae, batches, seed)))
    return distances


def _features(vae: VAE, batches: Iterable[Any], seed: int) -> np.ndarray:
    """Returns `(N, Z + 3)`: posterior means, log-likelihood, KL loss, log-likelihood of a perfect reconstruction."""

    @compiled
    def features(seen: Observed, seeds: keras.KerasTensor) -> keras.KerasTensor:
        terms = vae.elbo_terms(seen.inputs, target=seen.target, labels=seen.labels, seed=seeds)
        losses = [terms.log_likelihood[0], terms.kl_loss(), vae.likelihood.peak_log_prob(seen.target)]
        means = vae.latents.representation(seen.inputs, seen.labels)
        return ops.concatenate([means, ops.stack(losses, axis=-1)], axis=-1)

    return np.concatenate([features(seen, seeds) for seen, seeds in seeded(vae, batches, seed)]).astype(np.float64)


def likelihood_regret(vae: VAE, batches: Iterable[Any], reference: Iterable[Any], seed: int) -> np.ndarray:
    """Returns how much higher the ELBO is with the best posterior than with the encoder's (Xiao et al. 2020).

    Optimizes the posterior parameters of each example with the decoder fixed, using Adam with a step size that falls to
    0 and new draws at every step. Both ELBOs are means over the same draws. A value below 0 means that no better
    posterior was found.

    Args:
        vae: The model.
        batches: Batches to score, as `fit` takes them.
        reference: Not used; this score needs no training examples.
        seed: Seed of the draws.

    Returns:
        float64 `(N,)`, in nats.

    Raises:
        InputError: The model has several layers of latents.
    """
    latents = vae.latents
    if not isinstance(latents, FlatLatents):
        raise InputError(
            "score=likelihood_regret needs one layer of latents, whose posterior it optimizes. "
            f"Received: {type(latents).__name__}; use mahalanobis"
        )

    @compiled
    def regret(seen: Observed, seeds: keras.KerasTensor) -> keras.KerasTensor:
        def loss(params: keras.KerasTensor, num_samples: int, block: keras.KerasTensor) -> keras.KerasTensor:
            return _negative_elbo(vae, params, seen, num_samples, seeds + ops.stack([0, block]))

        given = latents.posterior_params(seen.inputs, seen.labels)
        best = _minimized(lambda params, step: loss(params, 1, step + 1), given)
        return loss(given, DRAWS, 0) - loss(best, DRAWS, 0)

    return np.concatenate([regret(seen, seeds) for seen, seeds in seeded(vae, batches, seed)]).astype(np.float64)


def _negative_elbo(
    vae: VAE, params: keras.KerasTensor, seen: Observed, num_samples: int, seeds: keras.KerasTensor
) -> keras.KerasTensor:
    """Returns minus the ELBO `(B,)` for posterior parameters `(B, P)`."""
    assert isinstance(vae.latents, FlatLatents)
    inferred = vae.latents.infer_from(params, vae.latents.noise(ops.shape(params)[0], num_samples, seeds))
    decoded = vae.decode_draws(inferred, seen.labels)
    return Terms(inferred, vae.likelihood.log_prob(decoded, seen.target)).negative_elbo()


def _minimized(
    loss: Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor], start: keras.KerasTensor
) -> keras.KerasTensor:
    """Minimizes `loss(values, step)` `(B,)` from `start` `(B, P)` by Adam (Kingma & Ba 2015), row by row."""

    def update(step: keras.KerasTensor, state: tuple[keras.KerasTensor, ...]) -> tuple[keras.KerasTensor, ...]:
        values, first, second = state
        gradient = gradient_at(lambda values: loss(values, step), values)
        first += (1 - ADAM_DECAYS[0]) * (gradient - first)
        second += (1 - ADAM_DECAYS[1]) * (ops.square(gradient) - second)
        done = ops.cast(step, "float32")
        means = first / (1 - ADAM_DECAYS[0] ** (done + 1))
        squares = second / (1 - ADAM_DECAYS[1] ** (done + 1))
        values -= FIRST_STEP_SIZE * (1 - done / STEPS) * means / (ops.sqrt(squares) + ADAM_EPSILON)
        return values, first, second

    return ops.fori_loop(0, STEPS, update, (start, ops.zeros_like(start), ops.zeros_like(start)))[0]
