"""One group of latents: what is inferred, decoded and generated, against scipy and the parts themselves."""

import keras
import numpy as np
import pytest
from scipy import stats

from vae_tf.model import DiagonalNormal, FlatLatents, StandardNormal, build_vae

SHAPE = (8, 9, 1)
LATENT_DIM = 3
X = np.random.default_rng(0).random((4, *SHAPE)).astype("float32")


class OtherPosterior(DiagonalNormal):
    """The same distribution, without a closed form of the divergence."""


@pytest.fixture(scope="module")
def latents():
    """Of a small dense model whose posteriors differ from each other and from the prior."""
    keras.utils.set_random_seed(0)
    made = build_vae(SHAPE, LATENT_DIM, "dense", "plain", hidden_sizes=(6,)).latents
    rng = np.random.default_rng(1)
    for weight in made.encoder.trainable_weights:
        weight.assign(weight + rng.normal(scale=0.3, size=weight.shape))
    return made


def with_posterior(latents, posterior):
    made = FlatLatents(latents.encoder, latents.decoder, posterior, latents.prior)
    made.build_from_example_shape(SHAPE, 1)
    return made


def mean_and_std(latents):
    mean, log_var = np.split(np.asarray(latents.encoder(X), "float64"), 2, axis=-1)
    return mean, np.exp(log_var / 2)


def test_draws_are_the_posteriors_at_the_noise(latents):
    noise = np.random.default_rng(2).normal(size=(5, 4, LATENT_DIM)).astype("float32")
    mean, std = mean_and_std(latents)
    np.testing.assert_allclose(latents.infer(X, None, noise).z, mean + std * noise, rtol=1e-4, atol=1e-5)


def test_densities_are_those_of_the_posterior_and_the_prior(latents):
    inferred = latents.infer(X, None, latents.noise(4, 5, seed=3))
    mean, std = mean_and_std(latents)
    z = np.asarray(inferred.z, "float64")
    expected = stats.norm.logpdf(z, mean, std).sum(axis=-1)
    np.testing.assert_allclose(inferred.log_posterior, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(inferred.log_prior, stats.norm.logpdf(z).sum(axis=-1), rtol=1e-5)


def test_the_divergence_has_one_value_for_each_example_and_dimension(latents):
    inferred = latents.infer(X, None, latents.noise(4, 1, seed=3))
    mean, std = mean_and_std(latents)
    expected = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    assert list(inferred.kl) == ["z"]
    np.testing.assert_allclose(inferred.kl["z"], expected, rtol=1e-4, atol=1e-6)


def test_parameters_in_place_of_data_give_the_same(latents):
    noise = latents.noise(4, 5, seed=3)
    from_data, from_params = latents.infer(X, None, noise), latents.infer_from_params(latents.encoder(X), noise)
    np.testing.assert_array_equal(from_data.params, from_params.params)
    for name in ("z", "log_posterior", "log_prior"):
        np.testing.assert_array_equal(getattr(from_data, name), getattr(from_params, name))
    np.testing.assert_array_equal(from_data.kl["z"], from_params.kl["z"])


def test_noise_has_a_row_for_each_draw_and_example(latents):
    assert latents.noise(4, 5, seed=3).shape == (5, 4, LATENT_DIM)


def test_noise_of_an_example_depends_on_its_own_seed_alone(latents):
    seeds = keras.ops.convert_to_tensor(np.array([[0, 0], [7, 1], [-3, 5]], np.int32))
    together, alone = latents.noise(3, 5, seeds), latents.noise(1, 5, seeds[1:2])
    np.testing.assert_allclose(together[:, 1:2], alone, rtol=1e-5, atol=1e-6)


def test_decoding_is_the_decoder(latents):
    z = np.random.default_rng(2).normal(size=(5, LATENT_DIM)).astype("float32")
    np.testing.assert_array_equal(latents.decode(z, None), latents.decoder(z))


def test_samples_are_draws_from_the_prior(latents):
    np.testing.assert_array_equal(latents.sample(4, None, 1), latents.prior.sample(4, 1))


def test_a_temperature_scales_the_samples(latents):
    expected = 0.5 * np.asarray(latents.prior.sample(4, 1))
    np.testing.assert_allclose(latents.sample(4, None, 1, temperature=0.5), expected, rtol=1e-6)


def test_posterior_means_stand_for_the_data(latents):
    np.testing.assert_allclose(latents.representation(X, None), mean_and_std(latents)[0], rtol=1e-5, atol=1e-6)


def test_the_divergence_by_dimension_is_the_closed_form(latents):
    inferred = latents.infer(X, None, latents.noise(4, 1, seed=3))
    np.testing.assert_array_equal(latents.kl_per_dimension(inferred), inferred.kl["z"])


def test_without_a_closed_form_the_divergence_by_dimension_comes_from_the_draws(latents):
    other = with_posterior(latents, OtherPosterior())
    inferred = other.infer(X, None, other.noise(4, 7, seed=3))
    mean, std = mean_and_std(latents)
    z = np.asarray(inferred.z, "float64")
    expected = (stats.norm.logpdf(z, mean, std) - stats.norm.logpdf(z)).mean(axis=0)
    assert inferred.kl["z"].shape == (4, 1)
    np.testing.assert_allclose(other.kl_per_dimension(inferred), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(inferred.kl["z"][:, 0], expected.sum(axis=-1), rtol=1e-3, atol=1e-5)


def test_one_group_has_all_dimensions(latents):
    assert latents.groups == {"z": slice(0, LATENT_DIM)}


def test_the_base_space_is_that_of_the_latents(latents):
    z = np.random.default_rng(2).normal(size=(5, LATENT_DIM)).astype("float32")
    np.testing.assert_array_equal(latents.to_base(z), z)
    np.testing.assert_array_equal(latents.from_base(z), z)


def test_memory_of_a_draw_is_that_of_the_decoders_outputs(latents):
    # A hidden layer of 6, the likelihood's parameters, and those again in the shape of an image; 4 bytes each.
    assert latents.bytes_per_sample() == 4 * (6 + 72 + 72)


def test_an_encoder_that_does_not_fit_the_posterior_is_refused(latents):
    encoder = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(5)])
    made = FlatLatents(encoder, latents.decoder, DiagonalNormal(), StandardNormal(LATENT_DIM))
    with pytest.raises(ValueError, match=r"encoder must output shape \(6,\) per example\. Received: shape \(5,\)"):
        made.build_from_example_shape(SHAPE, 1)


def test_a_decoder_that_does_not_fit_the_likelihood_is_refused(latents):
    made = FlatLatents(latents.encoder, latents.decoder, DiagonalNormal(), StandardNormal(LATENT_DIM))
    with pytest.raises(
        ValueError, match=r"decoder must output shape \(8, 9, 2\) per example\. Received: shape \(8, 9, 1\)"
    ):
        made.build_from_example_shape(SHAPE, 2)


def test_fewer_classes_than_one_are_refused(latents):
    with pytest.raises(ValueError, match=r"num_classes must be at least 1\. Received: num_classes=0"):
        FlatLatents(latents.encoder, latents.decoder, DiagonalNormal(), StandardNormal(LATENT_DIM), num_classes=0)
