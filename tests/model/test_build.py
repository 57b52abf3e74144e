"""The one public builder: the original's parameter counts, every shape, and what it refuses."""

import keras
import numpy as np
import pytest

import vae_tf
from vae_tf.support.errors import InputError

DENSE = {"arch": "dense", "hidden_sizes": (4,)}


def shapes_through(vae, example_shape):
    x = np.zeros((2, *example_shape), "float32")
    return vae(x).shape, vae.elbo_terms(x).log_likelihood.shape


@pytest.mark.parametrize(
    ("variant", "encoder", "decoder", "normalized"),
    [("plain", 3_501_568, 10_740_609, 0), ("bn", 3_502_464, 10_742_401, 3)],
)
def test_parameters_are_the_originals_to_the_unit(variant, encoder, decoder, normalized):
    vae = vae_tf.build_vae(example_shape=(50, 50, 1), latent_dim=128, arch="conv", variant=variant)
    assert vae.encoder.count_params() == encoder
    assert vae.decoder.count_params() == decoder
    for network in (vae.encoder, vae.decoder):
        found = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert len(found) == normalized


@pytest.mark.parametrize(("alias", "variant"), [("v1", "plain"), ("v2", "bn")])
def test_version_names_are_aliases(alias, variant):
    alias, variant = (vae_tf.build_vae((8, 8, 1), 2, variant=name, **DENSE) for name in (alias, variant))
    assert [type(layer) for layer in alias.encoder.layers] == [type(layer) for layer in variant.encoder.layers]


def test_defaults_are_conv_bn_bernoulli_with_128_latents_and_beta_1():
    vae = vae_tf.build_vae((8, 8, 1))
    kinds = {type(layer).__name__ for layer in vae.encoder.layers}
    assert {"Conv2D", "BatchNormalization"} <= kinds
    assert type(vae.likelihood).__name__ == "Bernoulli"
    assert vae.prior.latent_dim == 128
    assert vae.objective.beta == 1.0


@pytest.mark.parametrize("example_shape", [(8, 8, 1), (9, 8, 3), (11, 15, 1), (13, 16, 3)])
def test_conv_output_has_the_input_shape(example_shape):
    vae = vae_tf.build_vae(example_shape, 2, arch="conv", variant="bn")
    assert shapes_through(vae, example_shape) == ((2, *example_shape), (1, 2))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("example_shape", [(8, 8, 1), (9, 8, 3), (11, 15, 1), (13, 16, 3)])
def test_dense_output_has_the_input_shape(example_shape, likelihood):
    vae = vae_tf.build_vae(example_shape, 2, variant="plain", likelihood=likelihood, **DENSE)
    assert shapes_through(vae, example_shape) == ((2, *example_shape), (1, 2))


def test_every_option_reaches_its_part():
    options = {"hidden_sizes": [7, 5], "activation": "tanh", "likelihood": "gaussian", "sigma": 0.3}
    vae = vae_tf.build_vae((8, 8, 1), 3, "dense", "plain", beta=2.5, seed=9, **options)
    dense = [layer for layer in vae.encoder.layers if isinstance(layer, keras.layers.Dense)]
    assert [(layer.units, layer.activation.__name__) for layer in dense[:-1]] == [(7, "tanh"), (5, "tanh")]
    assert dense[-1].units == 6
    assert vae.likelihood.sigma == 0.3
    assert vae.prior.latent_dim == 3
    assert vae.objective.beta == 2.5
    assert vae.seed == 9


@pytest.mark.parametrize(
    "example_shape",
    [(7, 8, 1), (8, 7, 1), (8, 8, 2), (8, 8, 4), (8, 8, 0), (8, 8), (1, 8, 8, 1), (8.5, 8, 1), (-8, 8, 1), 50],
    ids=str,
)
def test_example_shape_out_of_range_is_refused(example_shape):
    with pytest.raises(InputError, match="example_shape must be"):
        vae_tf.build_vae(example_shape, 2, **DENSE)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("latent_dim", 0),
        ("arch", "cnv"),
        ("variant", "batchnorm"),
        ("likelihood", "bernouli"),
        ("hidden_sizes", ()),
        ("hidden_sizes", (4, 0)),
        ("activation", "rellu"),
        ("beta", -1.0),
        ("beta", float("nan")),
    ],
)
def test_option_out_of_range_is_refused_by_name(option, value):
    with pytest.raises(InputError, match=option):
        vae_tf.build_vae((8, 8, 1), **{"latent_dim": 2, **DENSE, option: value})


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("inf")])
def test_sigma_out_of_range_is_refused(sigma):
    with pytest.raises(InputError, match="sigma"):
        vae_tf.build_vae((8, 8, 1), 2, likelihood="gaussian", sigma=sigma, **DENSE)


@pytest.mark.parametrize("option", [{"hidden_sizes": (4,)}, {"activation": "tanh"}, {"sigma": 0.5}])
def test_option_without_effect_is_refused(option):
    with pytest.raises(InputError, match=next(iter(option))):
        vae_tf.build_vae((8, 8, 1), 2, arch="conv", likelihood="bernoulli", **option)


def test_unknown_name_comes_with_the_nearest_right_one():
    with pytest.raises(InputError, match="Did you mean bernoulli"):
        vae_tf.build_vae((8, 8, 1), 2, likelihood="bernouli")


@pytest.mark.parametrize("arch", ["conv", "dense"])
def test_a_dtype_policy_is_that_of_hidden_layers_and_of_them_alone(arch):
    before = keras.config.dtype_policy()
    vae = vae_tf.build_vae((8, 8, 1), 2, arch, "bn", dtype_policy="mixed_bfloat16")

    assert keras.config.dtype_policy() is before
    assert vae.dtype_policy.name == "mixed_bfloat16"
    for network, last in ((vae.encoder, "posterior_params"), (vae.decoder, "likelihood_params")):
        policies = {layer.name: layer.compute_dtype for layer in network.layers if layer.weights}
        assert policies.pop(last) == "float32"
        assert set(policies.values()) == {"bfloat16"}
    assert {weight.dtype for weight in vae.trainable_weights} == {"float32"}
    x = np.zeros((3, 8, 8, 1), np.float32)
    terms = vae.elbo_terms(x)
    inferred = terms.inferred
    in_training = (terms.log_likelihood, inferred.z, inferred.log_posterior, inferred.log_prior, inferred.kl["z"])
    for values in (vae(x), vae.sample(2), vae.encode(x), vae.reconstruct(x), *in_training):
        assert keras.backend.standardize_dtype(values.dtype) == "float32"


def test_the_global_dtype_policy_is_the_default_and_comes_back_after_an_error():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert vae_tf.build_vae((8, 8, 1), 2, **DENSE).dtype_policy.name == "mixed_bfloat16"
        with pytest.raises(ValueError, match="no_such_policy"):
            vae_tf.build_vae((8, 8, 1), 2, **DENSE, dtype_policy="no_such_policy")
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("arch", ["conv", "dense"])
def test_momentum_is_that_of_every_batch_normalization(arch):
    vae = vae_tf.build_vae((8, 8, 1), latent_dim=2, arch=arch, batch_norm_momentum=0.75)
    layers = [layer for network in (vae.encoder, vae.decoder) for layer in network.layers]
    momenta = [layer.momentum for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert momenta == [0.75] * (6 if arch == "conv" else 4)


@pytest.mark.parametrize("policy", ["bfloat16", "float16", "float64"])
def test_a_policy_whose_weights_are_not_float32_is_refused(policy):
    before = keras.config.dtype_policy().name
    with pytest.raises(InputError, match=rf"^dtype_policy must keep the weights in float32.*dtype_policy={policy};"):
        vae_tf.build_vae((8, 8, 1), 2, "dense", dtype_policy=policy)
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize("arch", ["conv", "dense"])
def test_the_global_image_data_format_makes_no_difference(arch):
    def reconstruct():
        keras.utils.set_random_seed(0)
        vae = vae_tf.build_vae((9, 11, 3), 2, arch)
        x = np.random.default_rng(0).random((2, 9, 11, 3), np.float32)
        return vae.reconstruct(x)

    expected = reconstruct()
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_array_equal(reconstruct(), expected)
    finally:
        keras.config.set_image_data_format("channels_last")
