"""Anomaly scores: how little a picture belongs to what a model was trained on; higher is more anomalous.

The likelihood alone does not tell. A Fashion-MNIST model gives MNIST digits a higher one than it gives clothes
(Nalisnick et al. 2019), as it also counts how easy a picture is to describe.

A score is a function (model, batches, reference, seed) -> float64 `(N,)`, listed in `vae_tf.registry.ANOMALY_SCORES`.
The noise of a picture depends on the seed and on its place alone, not on its batch.
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
    """Returns the squared Mahalanobis distance to training pictures, of posterior means and the terms of the ELBO.

    Denouden et al. (2018) add the distance of the latents to the reconstruction loss; here all are coordinates of one
    distance, so that too low a loss counts as well as too high a one. The log-likelihood of a perfect reconstruction
    (Chauhan et al. 2022) is one more: on grey values, where the Bernoulli formula is no likelihood, even that costs the
    entropy of the values, 191 nats for a picture of Fashion-MNIST and 45 for one of MNIST. The covariance is that of
    Ledoit & Wolf (2004), which few pictures suffice for.

    Args:
        vae: The model.
        batches: As `fit` takes them.
        reference: Batches of training pictures.
        seed: Seed of the draw behind the ELBO.

    Returns:
        float64 `(N,)`, squared standard deviations: about Z + 3 for what is like the training pictures.
    """
    from sklearn.covariance import LedoitWolf
    from sklearn.preprocessing import StandardScaler

    known = _features(vae, reference, seed)
    scaler = StandardScaler().fit(known)
    distribution = LedoitWolf().fit(scaler.transform(known))
    distances: np.ndarray = distribution.mahalanobis(scaler.transform(_features(vae, batches, seed)))
    return distances


def _features(vae: VAE, batches: Iterable[Any], seed: int) -> np.ndarray:
    """Posterior means, log-likelihood, KL loss, and the log-likelihood of a perfect reconstruction `(N, Z + 3)`."""

    @compiled
    def features(seen: Observed, seeds: keras.KerasTensor) -> keras.KerasTensor:
        terms = vae.elbo_terms(seen.inputs, target=seen.target, labels=seen.labels, seed=seeds)
        losses = [terms.log_likelihood[0], terms.kl_loss(), vae.likelihood.peak_log_prob(seen.target)]
        means = vae.latents.representation(seen.inputs, seen.labels)
        return ops.concatenate([means, ops.stack(losses, axis=-1)], axis=-1)

    return np.concatenate([features(seen, seeds) for seen, seeds in seeded(vae, batches, seed)]).astype(np.float64)


def likelihood_regret(vae: VAE, batches: Iterable[Any], reference: Iterable[Any], seed: int) -> np.ndarray:
    """Returns how much higher the ELBO is under the best posterior than under the encoder's (Xiao et al. 2020).

    The parameters of each picture's posterior are optimized with the decoder fixed, by Adam, whose step size falls to
    0; each step draws anew. Both ELBOs are means over the same draws; a value below 0 says that no better posterior was
    found.

    Args:
        vae: The model.
        batches: As `fit` takes them.
        reference: Not used: the score needs no training picture.
        seed: Seed of the draws.

    Returns:
        float64 `(N,)`, nats.

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
    """Minus the ELBO `(B,)` under posterior parameters `(B, P)`."""
    assert isinstance(vae.latents, FlatLatents)
    inferred = vae.latents.infer_from(params, vae.latents.noise(ops.shape(params)[0], num_samples, seeds))
    decoded = vae.decode_draws(inferred, seen.labels)
    return Terms(inferred, vae.likelihood.log_prob(decoded, seen.target)).negative_elbo()


def _minimized(
    loss: Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor], start: keras.KerasTensor
) -> keras.KerasTensor:
    """Where Adam (Kingma & Ba 2015) comes from `start` `(B, P)` on `loss(values, step)` `(B,)`, each row by itself."""

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
