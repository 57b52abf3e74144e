"""Trains the model of the scikit-learn interface on a table."""

import math
import warnings
from collections.abc import Sequence

import keras
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from vae_tf.config import RunConfig
from vae_tf.data.pipeline import num_batches, training_batches
from vae_tf.data.sources.arrays import ArraySource
from vae_tf.model import ELBO, VAE, DenseNetwork, DiagonalNormal, FlatLatents, LearnedGaussian, StandardNormal
from vae_tf.support.errors import InputError

ROUNDING_STEPS = 4
# Tracing a training step takes as long as about fifty eager steps.
MIN_STEPS_TO_COMPILE = 50


def fit_scaler(rows: np.ndarray) -> StandardScaler:
    """Returns a scaler fitted to rows `(N, F)`.

    It is fitted to the differences from the first row: the rounding error that scikit-learn allows for a constant
    column grows with N and with the mean, and would exceed the spread of a column such as time stamps. Here, a column
    is constant if its values differ by no more than the rounding of a few operations.
    """
    origin = rows[0]
    is_constant = np.ptp(rows, axis=0) <= ROUNDING_STEPS * np.spacing(np.abs(rows).max(axis=0))
    scaler = StandardScaler().fit(np.where(is_constant, 0, rows - origin))
    scaler.mean_ += origin
    return scaler


def build_model(config: RunConfig, num_features: int) -> VAE:
    """Returns a new model for rows of features.

    Its initial weights depend only on the seed: it has seeded initializers, because Python's global random state, from
    which Keras would draw their seeds, is shared by all threads.
    """
    network = DenseNetwork(
        (num_features,), batch_norm=config.variant == "bn", seed=config.seed, **config.arguments("arch")
    )
    posterior, likelihood = DiagonalNormal(), LearnedGaussian()
    latents = FlatLatents(
        network.build_encoder(posterior.params_size(config.latent_dim)),
        network.build_decoder(config.latent_dim, likelihood.params_size(num_features)),
        posterior,
        StandardNormal(config.latent_dim),
    )
    vae = VAE(latents, likelihood, ELBO(config.beta), seed=config.seed)
    vae.build((None, num_features))
    return vae


def train_on_rows(config: RunConfig, rows: np.ndarray) -> VAE:
    """Returns a new model trained on standardized rows, float32 `(N, F)`."""
    examples = ArraySource(rows, None, scale=1.0)
    steps = num_batches(examples, config.batch_size)
    vae = build_model(config, rows.shape[1])
    vae.compile(
        keras.optimizers.Adam(config.learning_rate),
        jit_compile=False,
        run_eagerly=config.epochs * steps < MIN_STEPS_TO_COMPILE,
    )
    batches = training_batches(examples, config, rows.shape[1:])
    history = vae.fit(batches, epochs=config.epochs, steps_per_epoch=steps, shuffle=False, verbose=0).history
    assert vae.guard is not None  # created by fit
    is_finite = all(np.isfinite(weight).all() for weight in vae.get_weights())
    if not is_finite or vae.guard.skipped.consecutive:  # weights that are finite but too large make every step fail
        raise InputError(
            "Training diverged: a weight, or the last loss, is not a finite number. "
            f"Received: learning_rate={config.learning_rate}; lower it"
        )
    if is_still_falling(history["loss"]):
        warnings.warn(
            f"The loss was still falling at the end of training. Received: epochs={config.epochs}; "
            f"pass a larger number, such as epochs={2 * config.epochs}",
            ConvergenceWarning,
            stacklevel=3,
        )
    return vae


def is_still_falling(losses: Sequence[float]) -> bool:
    """Returns whether the loss still falls at the end: at least as fast as on average, and by more than noise.

    It compares the last tenth of the epochs with the tenth before; with fewer than two epochs in a tenth there is no
    telling noise and trend apart.

    Args:
        losses: The loss of each epoch.
    """
    size = len(losses) // 10
    if size < 2:
        return False
    before, last = np.array(losses[-2 * size : -size]), np.array(losses[-size:])
    fall = before.mean() - last.mean()
    error = math.sqrt((before.var(ddof=1) + last.var(ddof=1)) / size)
    return bool(fall > max((losses[0] - last.mean()) / 10, 2 * error))
