"""Latents of a collection of examples, in its order, and the divergence of each dimension."""

import keras
import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.sources.arrays import ArraySource
from vae_tf.metrics import encoding
from vae_tf.metrics.encoding import encode, evenly_spaced
from vae_tf.metrics.latents import normal_kl
from vae_tf.model import ELBO, VAE, DiagonalNormal, FlatLatents, StandardNormal

SHAPE = (8, 8, 1)
PIXELS = np.random.default_rng(0).integers(0, 256, (11, *SHAPE), np.uint8)
EXAMPLES = ArraySource(PIXELS, np.arange(11) % 3, 255.0)


def small_vae(**changes):
    return vae_tf.build_vae(
        example_shape=SHAPE, latent_dim=3, arch="dense", hidden_sizes=(8,), variant="plain", **changes
    )


def test_posteriors_come_in_the_order_of_the_data_whatever_the_batches_are(monkeypatch):
    monkeypatch.setattr(encoding, "BATCH_SIZE", 4)
    model = small_vae()
    found = encode(model, EXAMPLES, RunConfig(), SHAPE, "test")
    params = model.posterior_params(PIXELS.astype(np.float32) / 255)
    np.testing.assert_allclose(np.concatenate([found.means, found.log_vars], axis=1), params, atol=1e-6)
    np.testing.assert_array_equal(found.labels, EXAMPLES.labels)


def test_a_conditional_model_gets_the_classes():
    model = small_vae(num_classes=3)
    means = encode(model, EXAMPLES, RunConfig(conditional=True), SHAPE, "test").means
    np.testing.assert_allclose(means, model.encode(PIXELS.astype(np.float32) / 255, EXAMPLES.labels), atol=1e-6)


def test_the_encoder_sees_what_is_corrupted():
    model = small_vae()
    means = encode(model, EXAMPLES, RunConfig(corrupt="mask:1"), SHAPE, "test").means
    np.testing.assert_allclose(means, model.encode(np.zeros_like(PIXELS, np.float32)), atol=1e-6)


@pytest.mark.parametrize(("count", "positions"), [(3, [0, 3, 7]), (11, range(11)), (99, range(11))])
def test_some_examples_are_spread_over_all_of_them(count, positions):
    np.testing.assert_array_equal(
        evenly_spaced(EXAMPLES, count).read(np.arange(len(positions))), PIXELS[list(positions)]
    )


class OtherPrior(StandardNormal):
    """The same distribution, without a closed form of the divergence."""


class OtherPosterior(DiagonalNormal):
    """The same distribution, without a closed form of the divergence."""


def spread_vae(posterior=DiagonalNormal, prior=StandardNormal):
    """A model whose posteriors are far from the prior."""
    keras.utils.set_random_seed(0)
    parts = small_vae()
    rng = np.random.default_rng(1)
    for weight in parts.encoder.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    vae = VAE(FlatLatents(parts.encoder, parts.decoder, posterior(), prior(3)), parts.likelihood, ELBO())
    vae.build((None, *SHAPE))
    return vae


def divergence(model):
    """In closed form, of each dimension."""
    params = model.posterior_params(PIXELS.astype(np.float32) / 255)
    return normal_kl(params[:, :3], params[:, 3:])


def test_the_divergence_of_each_dimension_is_the_closed_form():
    model = spread_vae()
    found = encode(model, EXAMPLES, RunConfig(), SHAPE, "test")
    assert found.kl_per_dimension.dtype == np.float64
    np.testing.assert_allclose(found.kl_per_dimension, divergence(model), rtol=1e-5)


def test_without_a_closed_form_the_divergence_of_each_dimension_comes_from_draws(monkeypatch):
    monkeypatch.setattr(encoding, "KL_SAMPLES", 5000)
    model = spread_vae(prior=OtherPrior)
    found = encode(model, EXAMPLES, RunConfig(), SHAPE, "test")
    assert found.log_vars is not None
    np.testing.assert_allclose(found.kl_per_dimension, divergence(model), rtol=0.02, atol=0.01)


def test_a_posterior_that_is_not_one_normal_has_means_and_a_divergence_alone(monkeypatch):
    monkeypatch.setattr(encoding, "KL_SAMPLES", 5000)
    model = spread_vae(posterior=OtherPosterior)
    found = encode(model, EXAMPLES, RunConfig(), SHAPE, "test")
    assert found.log_vars is None
    np.testing.assert_allclose(found.means, model.encode(PIXELS.astype(np.float32) / 255), atol=1e-6)
    np.testing.assert_allclose(found.kl_per_dimension, divergence(model), rtol=0.02, atol=0.01)


def test_drawn_divergences_do_not_depend_on_the_batches(monkeypatch):
    model = spread_vae(prior=OtherPrior)
    whole = encode(model, EXAMPLES, RunConfig(), SHAPE, "test").kl_per_dimension
    monkeypatch.setattr(encoding, "BATCH_SIZE", 4)
    np.testing.assert_allclose(encode(model, EXAMPLES, RunConfig(), SHAPE, "test").kl_per_dimension, whole, rtol=1e-4)
