"""Arrays in, arrays out."""

import keras
import numpy as np
import pytest

import vae_tf
from vae_tf.model import VAE
from vae_tf.support.errors import InputError

SHAPE = (8, 9, 1)


def images(n, seed=0):
    return np.random.default_rng(seed).random((n, *SHAPE)).astype("float32")


def check_near(given, expected):
    """Products are summed in another order in a batch of another size.

    The rounding is of the size of the products, even where they cancel and only a small value is left.
    """
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.fixture(scope="module")
def vae():
    keras.utils.set_random_seed(0)
    return vae_tf.build_vae(SHAPE, 3, "dense", "plain", "learned_gaussian", hidden_sizes=(6,), sigma=0.5)


def test_a_path_leads_from_one_reconstruction_to_the_other(vae):
    a, b = images(2), images(2, seed=1)
    ways = vae.interpolate(a, b, 5)
    assert ways.shape == (2, 5, *SHAPE)
    check_near(ways[:, 0], vae.reconstruct(a))
    check_near(ways[:, -1], vae.reconstruct(b))


def test_the_middle_of_a_path_is_the_mean_of_the_posterior_means(vae):
    a, b = images(2), images(2, seed=1)
    expected = vae.decode((vae.encode(a) + vae.encode(b)) / 2)
    check_near(vae.interpolate(a, b, 3)[:, 1], expected)


def test_a_path_keeps_its_class():
    keras.utils.set_random_seed(0)
    vae = vae_tf.build_vae(SHAPE, 3, "dense", "plain", hidden_sizes=(6,), num_classes=4)
    a, b, labels = images(2), images(2, seed=1), np.array([1, 3])
    expected = vae.decode((vae.encode(a, labels) + vae.encode(b, labels)) / 2, labels)
    check_near(vae.interpolate(a, b, 3, labels)[:, 1], expected)


@pytest.mark.parametrize(
    ("a", "b", "steps", "reason"),
    [(2, 2, 1, "steps must be at least 2. Received: steps=1"), (2, 3, 4, "a and b must have the same shape")],
)
def test_an_impossible_path_is_refused(vae, a, b, steps, reason):
    with pytest.raises(ValueError, match=reason):
        vae.interpolate(images(a), images(b), steps)


def test_a_sample_without_a_seed_is_another_every_time(vae):
    assert not np.array_equal(vae.sample(3), vae.sample(3))


def test_draws_lie_around_the_mean_data_with_the_spread_of_the_likelihood(vae):
    noise = vae.sample(500, seed=4, mean=False) - vae.sample(500, seed=4)
    assert noise.mean() == pytest.approx(0, abs=4 * 0.5 / np.sqrt(noise.size))
    assert noise.std() == pytest.approx(0.5, rel=0.02)


def test_the_noise_of_draws_has_nothing_to_do_with_the_latents():
    """With one latent and one value, both drawn from one integer, equal noise would show as a correlation of 1."""
    vae = vae_tf.build_vae((1,), 1, "dense", "plain", "gaussian", hidden_sizes=(2,))
    noise = vae.sample(2000, seed=4, mean=False) - vae.sample(2000, seed=4)
    latents = np.asarray(vae.prior.sample(2000, 4))
    assert abs(np.corrcoef(noise[:, 0], latents[:, 0])[0, 1]) < 0.1


def test_a_seed_repeats_draws(vae):
    first = vae.sample(3, seed=4, mean=False)
    np.testing.assert_array_equal(vae.sample(3, seed=4, mean=False), first)


def test_rows_are_handled_as_images_are():
    vae = vae_tf.build_vae((4,), 2, "dense", likelihood="gaussian", hidden_sizes=(6,), variant="plain")
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    assert vae.encode(rows).shape == (5, 2)
    assert vae.reconstruct(rows).shape == (5, 4)
    assert vae.sample(3, seed=0).shape == (3, 4)
    assert vae.interpolate(rows[:2], rows[2:4], 6).shape == (2, 6, 4)
    terms = vae.elbo_terms(rows, num_samples=3, seed=0)
    assert terms.log_likelihood.shape == (3, 5)


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (3, 8, 9), (0, 8, 9, 1), (8, 9, 1), ()])
@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_data_of_another_shape_is_refused_in_one_line(vae, method, shape):
    with pytest.raises(ValueError, match=r"must have shape \(N, 8, 9, 1\) with N at least 1\. Received: \("):
        getattr(vae, method)(np.zeros(shape, "float32"))


@pytest.mark.parametrize("shape", [(3, 2), (3,), (0, 3)])
def test_latents_of_another_shape_are_refused_in_one_line(vae, shape):
    with pytest.raises(ValueError, match=r"must have shape \(N, 3\) with N at least 1\. Received: \("):
        vae.decode(np.zeros(shape, "float32"))


def test_posterior_parameters_are_those_of_the_encoder_whatever_the_batches_are(vae):
    x = images(7)
    params = vae.posterior_params(x, batch_size=3)
    assert isinstance(params, np.ndarray)
    assert (params.shape, params.dtype) == ((7, 6), np.float32)
    np.testing.assert_allclose(params, vae.encoder(x), rtol=1e-5, atol=1e-6)


def test_points_of_the_base_space_of_a_standard_normal_are_the_latents(vae):
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    np.testing.assert_array_equal(vae.to_base(z), z)
    np.testing.assert_array_equal(vae.from_base(z), z)


def test_a_seed_of_a_numpy_type_is_that_integer(vae):
    for mean in (True, False):
        np.testing.assert_array_equal(vae.sample(3, seed=np.int64(4), mean=mean), vae.sample(3, seed=4, mean=mean))


@pytest.mark.parametrize("arguments", [{"n": 2.0}, {"n": 2, "seed": 0.5}])
def test_a_number_that_is_no_integer_is_refused(vae, arguments):
    name, value = list(arguments.items())[-1]
    with pytest.raises(InputError, match=rf"^{name} must be an integer\. Received: {name}={value}$"):
        vae.sample(**arguments)


def test_a_model_that_is_not_built_says_so(vae):
    with pytest.raises(InputError, match=r"^A VAE must be built before it is used\. .*; call build"):
        VAE(vae.latents, vae.likelihood, vae.objective).encode(images(2))


def test_a_quantized_model_encodes_and_decodes_with_its_new_weights():
    keras.utils.set_random_seed(0)
    vae = vae_tf.build_vae(SHAPE, 3, "dense", "plain", hidden_sizes=(6,))
    before, x = vae.reconstruct(images(3)), images(3)
    vae.quantize("int8")
    assert np.abs(vae.reconstruct(x) - before).max() > 0
    np.testing.assert_allclose(vae.encode(x), vae.latents.representation(x, None), rtol=1e-5, atol=1e-6)


def test_a_model_compiled_again_uses_no_function_compiled_before():
    keras.utils.set_random_seed(0)
    vae = vae_tf.build_vae(SHAPE, 3, "dense", "plain", hidden_sizes=(6,))
    x = images(3)
    before = vae.encode(x)
    vae.encoder.layers[-1].activation = lambda params: 2 * params
    vae.compile("adam")
    np.testing.assert_allclose(vae.encode(x), 2 * before, rtol=1e-5)
