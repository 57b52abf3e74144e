"""Anomaly scores: how different an example is from the training data; higher is more anomalous.

The likelihood alone is not a good anomaly score. A model trained on Fashion-MNIST assigns MNIST digits a higher
likelihood than clothing (Nalisnick et al. 2019), because the likelihood also depends on how simple an image is.

A score is a function (model, batches, reference, seed) -> float64 `(N,)`, listed in `vae_tf.registry.ANOMALY_SCORES`.
The noise of an example depends only on the seed and on the example's position, not on its batch.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from vae_tf.backend.compiled import compile_function, gradient_of_sum
from vae_tf.metrics.elbo import with_example_seeds
from vae_tf.model.batch import Batch
from vae_tf.model.latents import FlatLatents
from vae_tf.model.terms import Terms
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError

NUM_STEPS = 100
INITIAL_LEARNING_RATE = 0.1
NUM_SAMPLES = 10
ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-7


def mahalanobis(vae: VAE, batches: Iterable[Any], reference: Iterable[Any], seed: int) -> np.ndarray:
    """Returns the squared Mahalanobis distance to the training data, over posterior means and ELBO terms.

    Denouden et al. (2018) add the distance of the latents to the reconstruction loss. Here they are all features in a
    single distance, so a loss that is too low counts as much as one that is too high. Another feature is the
    log-likelihood of a perfect reconstruction (Chauhan et al. 2022): on pixel intensities, where the Bernoulli formula
    is not a likelihood, the loss of even a perfect reconstruction equals the entropy of the pixel values, 191 nats for
    a Fashion-MNIST image and 45 for an MNIST image. The covariance estimator of Ledoit & Wolf (2004) needs few
    examples.

    Args:
        vae: The model.
        batches: Batches to score, in the format that `fit` accepts.
        reference: Batches of training examples.
        seed: Random seed for the ELBO's posterior samples.

    Returns:
        float64 `(N,)`, in squared standard deviations: about Z + 3 for examples like the training data.
    """
    from sklearn.covariance import LedoitWolf
    from sklearn.preprocessing import StandardScaler

    reference_features = _features(vae, reference, seed)
    scaler = StandardScaler().fit(reference_features)
    distribution = LedoitWolf().fit(scaler.transform(reference_features))
    distances: np.ndarray = distribution.mahalanobis(scaler.transform(_features(vae, batches, seed)))
    return distances


def percentiles(scores: np.ndarray, validation_scores: np.ndarray) -> np.ndarray:
    """Returns the percentage of validation examples with a lower anomaly score, for each score.

    Args:
        scores: Anomaly scores `(N,)`.
        validation_scores: Anomaly scores of the validation examples `(V,)`.

    Returns:
        float64 `(N,)`, in [0, 100].
    """
    return 100 * np.searchsorted(np.sort(validation_scores), scores) / len(validation_scores)


def score_threshold(validation_scores: np.ndarray, quantile: float) -> float:
    """Returns a quantile of the validation scores `(V,)`.

    A new example like these exceeds it with probability `1 - quantile`.

    The i-th lowest of V scores estimates the quantile i / (V + 1), because a new score is equally likely to have any of
    the V + 1 ranks among them. An estimate that took the highest score for the quantile 1 would give too many false
    alarms.
    """
    return float(np.quantile(validation_scores, quantile, method="weibull"))


def min_validation_examples(quantile: float) -> int:
    """Returns the fewest validation examples with which the quantile does not lie above the highest score."""
    return math.ceil(round(quantile / (1 - quantile), 6))  # 0.99 / (1 - 0.99) is slightly more than 99


def _features(vae: VAE, batches: Iterable[Any], seed: int) -> np.ndarray:
    """Returns `(N, Z + 3)`: posterior means, log-likelihood, KL loss, log-likelihood of a perfect reconstruction."""

    @compile_function
    def features(batch: Batch, seeds: keras.KerasTensor) -> keras.KerasTensor:
        terms = vae.elbo_terms(batch.inputs, target=batch.target, labels=batch.labels, seed=seeds)
        elbo_features = [terms.log_likelihood[0], terms.kl_loss(), vae.likelihood.max_log_prob(batch.target)]
        means = vae.latents.representation(batch.inputs, batch.labels)
        return ops.concatenate([means, ops.stack(elbo_features, axis=-1)], axis=-1)

    return np.concatenate([features(batch, seeds) for batch, seeds in with_example_seeds(vae, batches, seed)]).astype(
        np.float64
    )


def likelihood_regret(vae: VAE, batches: Iterable[Any], reference: Iterable[Any], seed: int) -> np.ndarray:
    """Returns how much higher the ELBO is with the best posterior than with the encoder's (Xiao et al. 2020).

    Optimizes the posterior parameters of each example with the decoder fixed, using Adam with a learning rate that
    decays to 0 and new noise at every step. Both ELBOs are means over the same noise. A value below 0 means that no
    better posterior was found.

    Args:
        vae: The model.
        batches: Batches to score, in the format that `fit` accepts.
        reference: Not used; this score needs no training examples.
        seed: Random seed for the noise.

    Returns:
        float64 `(N,)`, in nats.

    Raises:
        InputError: The model has more than one layer of latents.
    """
    latents = vae.latents
    if not isinstance(latents, FlatLatents):
        raise InputError(
            "score=likelihood_regret needs a model with a single layer of latents, whose posterior it optimizes. "
            f"Received: latents of type {type(latents).__name__}; use score=mahalanobis"
        )

    @compile_function
    def regret(batch: Batch, seeds: keras.KerasTensor) -> keras.KerasTensor:
        def loss(params: keras.KerasTensor, num_samples: int, block: keras.KerasTensor) -> keras.KerasTensor:
            return _negative_elbo(vae, params, batch, num_samples, seeds + ops.stack([0, block]))

        encoder_params = latents.posterior_params(batch.inputs, batch.labels)
        best_params = _minimize(lambda params, step: loss(params, 1, step + 1), encoder_params)
        return loss(encoder_params, NUM_SAMPLES, 0) - loss(best_params, NUM_SAMPLES, 0)

    return np.concatenate([regret(batch, seeds) for batch, seeds in with_example_seeds(vae, batches, seed)]).astype(
        np.float64
    )


def _negative_elbo(
    vae: VAE, params: keras.KerasTensor, batch: Batch, num_samples: int, seeds: keras.KerasTensor
) -> keras.KerasTensor:
    """Returns the negative ELBO `(B,)` for posterior parameters `(B, P)`."""
    assert isinstance(vae.latents, FlatLatents)
    inferred = vae.latents.infer_from_params(params, vae.latents.noise(ops.shape(params)[0], num_samples, seeds))
    decoded = vae.decode_samples(inferred, batch.labels)
    return Terms(inferred, vae.likelihood.log_prob(decoded, batch.target)).negative_elbo()


def _minimize(
    loss: Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor], start: keras.KerasTensor
) -> keras.KerasTensor:
    """Minimizes `loss(values, step)` `(B,)` with Adam (Kingma & Ba 2015) from `start` `(B, P)`, row by row."""

    def update(step: keras.KerasTensor, state: tuple[keras.KerasTensor, ...]) -> tuple[keras.KerasTensor, ...]:
        values, first, second = state
        gradient = gradient_of_sum(lambda values: loss(values, step), values)
        first += (1 - ADAM_BETAS[0]) * (gradient - first)
        second += (1 - ADAM_BETAS[1]) * (ops.square(gradient) - second)
        completed = ops.cast(step, "float32")
        means = first / (1 - ADAM_BETAS[0] ** (completed + 1))
        squares = second / (1 - ADAM_BETAS[1] ** (completed + 1))
        values -= INITIAL_LEARNING_RATE * (1 - completed / NUM_STEPS) * means / (ops.sqrt(squares) + ADAM_EPSILON)
        return values, first, second

    return ops.fori_loop(0, NUM_STEPS, update, (start, ops.zeros_like(start), ops.zeros_like(start)))[0]
