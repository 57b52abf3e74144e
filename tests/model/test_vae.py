"""The model as a whole, against the original's loss written in numpy and against its own parts."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from vae_tf.model import ELBO, VAE, Bernoulli, DiagonalNormal, FlatLatents, StandardNormal, build_vae

SHAPE = (8, 9, 1)
LATENT_DIM = 3
BATCH_NORM_EPSILON = 1e-3


def images(n, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).random((n, *shape)).astype("float32")


def tiny(variant="plain", seed=0, **options):
    """A small dense VAE, the same at every call, whose weights are large enough for its outputs to differ."""
    keras.utils.set_random_seed(0)
    vae = build_vae(SHAPE, LATENT_DIM, "dense", variant, hidden_sizes=(6,), seed=seed, **options)
    spread_weights(vae)
    return vae


def spread_weights(vae):
    rng = np.random.default_rng(1)
    for weight in (*vae.encoder.trainable_weights, *vae.decoder.trainable_weights):
        scale = 1 / np.sqrt(np.prod(weight.shape[:-1])) if len(weight.shape) > 1 else 0.3
        weight.assign(weight + rng.normal(scale=scale, size=weight.shape))


def without_noise(vae):
    """The same VAE with a posterior of almost no width, so that every draw is its mean."""
    head = vae.encoder.get_layer("posterior_params")
    kernel, bias = head.get_weights()
    kernel[:, LATENT_DIM:], bias[LATENT_DIM:] = 0, -60
    head.set_weights([kernel, bias])
    return vae


def frozen(vae):
    """The VAE compiled so that training leaves the trainable weights alone."""
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    return vae


def value(variable):
    return np.asarray(variable.value).copy()


def cross_entropy(x, logits):
    """The original's reconstruction loss per example: summed binary cross-entropy of probabilities."""
    x, logits = np.asarray(x, "float64"), np.asarray(logits, "float64")
    probability = 1 / (1 + np.exp(-logits))
    return -(x * np.log(probability) + (1 - x) * np.log(1 - probability)).sum(axis=(1, 2, 3))


def divergence(params):
    """The original's KL loss per example."""
    mean, log_var = np.split(np.asarray(params, "float64"), 2, axis=-1)
    return -0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum(axis=-1)


def moving_statistics(model):
    return {w.path: value(w) for w in model.non_trainable_weights if "moving" in w.path}


def batch_norms(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def randomize_statistics(vae, seed=4):
    rng = np.random.default_rng(seed)
    for network in (vae.encoder, vae.decoder):
        for layer in batch_norms(network):
            units = layer.gamma.shape[0]
            layer.set_weights(
                [rng.uniform(0.5, 2, units), rng.normal(size=units), rng.normal(size=units), rng.uniform(0.5, 2, units)]
            )


# ---- The evidence lower bound


@pytest.mark.parametrize("shape", [(9, 11, 1), (8, 8, 3)])
def test_conv_loss_equals_the_originals_formula(shape):
    keras.utils.set_random_seed(0)
    vae = build_vae(shape, LATENT_DIM, "conv", "plain")
    spread_weights(vae)
    x = images(3, shape=shape)
    terms = vae.elbo_terms(x)
    logits = vae.decoder(terms.inferred.z[0])
    assert np.std(logits) > 0.1
    expected = cross_entropy(x, logits) + divergence(vae.encoder(x))
    np.testing.assert_allclose(terms.negative_elbo(), expected, rtol=1e-5)


def test_dense_loss_equals_a_whole_vae_in_numpy():
    vae, x = tiny(), images(4)
    terms = vae.elbo_terms(x)

    def network(inputs, model):
        kernel, bias, head_kernel, head_bias = (w.astype("float64") for w in model.get_weights())
        return np.maximum(inputs @ kernel + bias, 0) @ head_kernel + head_bias

    params = network(x.reshape(4, -1).astype("float64"), vae.encoder)
    logits = network(np.asarray(terms.inferred.z[0], "float64"), vae.decoder).reshape(x.shape)
    np.testing.assert_allclose(terms.reconstruction_loss(), cross_entropy(x, logits), rtol=1e-5)
    np.testing.assert_allclose(terms.kl_loss(), divergence(params), rtol=1e-5)


def test_train_step_reports_the_originals_loss():
    vae, x = frozen(tiny()), images(4)
    state = value(vae.seed_generator.state)
    z = vae.elbo_terms(x, training=True).inferred.z[0]
    vae.seed_generator.state.assign(state)
    expected = cross_entropy(x, vae.decoder(z)) + divergence(vae.encoder(x))
    np.testing.assert_allclose(vae.train_on_batch(x)[0], expected.mean(), rtol=1e-5)


@pytest.mark.parametrize("num_samples", [1, 3])
def test_elbo_terms_have_a_row_per_draw(num_samples):
    terms = tiny().elbo_terms(images(4), num_samples=num_samples)
    inferred = terms.inferred
    assert terms.log_likelihood.shape == (num_samples, 4)
    assert inferred.log_prior.shape == (num_samples, 4)
    assert inferred.log_posterior.shape == (num_samples, 4)
    assert terms.kl_loss().shape == (4,)
    assert inferred.z.shape == (num_samples, 4, LATENT_DIM)
    tensors = (terms.log_likelihood, inferred.log_prior, inferred.log_posterior, inferred.kl["z"], inferred.z)
    assert {tensor.dtype for tensor in tensors} == {tf.float32}


def test_every_term_belongs_to_its_draw_and_example():
    vae, x = tiny(), images(4)
    terms = vae.elbo_terms(x, num_samples=3)
    mean, log_var = np.split(np.asarray(vae.encoder(x), "float64"), 2, axis=-1)
    for k, z in enumerate(np.asarray(terms.inferred.z)):
        np.testing.assert_allclose(terms.log_likelihood[k], -cross_entropy(x, vae.decoder(z)), rtol=1e-5)
        np.testing.assert_allclose(terms.inferred.log_prior[k], stats.norm.logpdf(z).sum(axis=-1), rtol=1e-5)
        expected = stats.norm.logpdf(z, mean, np.exp(log_var / 2)).sum(axis=-1)
        np.testing.assert_allclose(terms.inferred.log_posterior[k], expected, rtol=1e-4, atol=1e-4)


def test_draws_differ_between_samples_examples_and_calls():
    vae = tiny()
    x = np.repeat(images(1), 2, axis=0)
    z = np.concatenate([vae.elbo_terms(x, num_samples=2).inferred.z for _ in range(2)])
    assert len(np.unique(z.reshape(-1, LATENT_DIM), axis=0)) == 8


def test_elbo_terms_repeat_with_an_explicit_seed():
    vae, x = tiny(), images(2)
    first, again = (vae.elbo_terms(x, seed=5).inferred.z for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_elbo_terms_take_the_noise_itself():
    vae, x = tiny(), images(2)
    noise = np.random.default_rng(3).normal(size=(4, 2, LATENT_DIM)).astype("float32")
    mean, log_var = np.split(np.asarray(vae.encoder(x), "float64"), 2, axis=-1)
    expected = mean + np.exp(log_var / 2) * noise
    np.testing.assert_allclose(vae.elbo_terms(x, noise=noise).inferred.z, expected, rtol=1e-4, atol=1e-5)


def test_given_noise_leaves_the_models_own_alone():
    vae, x = tiny(), images(2)
    before = value(vae.seed_generator.state)
    vae.elbo_terms(x, noise=np.zeros((1, 2, LATENT_DIM), "float32"))
    np.testing.assert_array_equal(vae.seed_generator.state, before)


# ---- Training


@pytest.mark.parametrize("beta", [0.0, 2.5])
def test_training_loss_is_reconstruction_plus_beta_times_kl(beta):
    vae = frozen(tiny(beta=beta))
    history = vae.fit(images(6), batch_size=3, verbose=0).history
    (loss,), (reconstruction,), (kl,) = (history[name] for name in ("loss", "reconstruction_loss", "kl_loss"))
    assert kl > 0.1
    assert loss == pytest.approx(reconstruction + beta * kl, rel=1e-6)


def test_metrics_are_means_over_the_examples_of_each_epoch_with_a_short_last_batch():
    vae = frozen(without_noise(tiny(beta=2.0)))
    x = images(5)
    x[4] = vae.decode(vae.encode(x[4:]))[0] > 0.5  # easier than the others, so that a mean of batch means would show
    params = np.asarray(vae.encoder(x))
    reconstruction, kl = cross_entropy(x, vae.decoder(params[:, :LATENT_DIM])), divergence(params)
    assert abs((reconstruction[:4].mean() + reconstruction[4]) / 2 - reconstruction.mean()) > 1
    history = vae.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["reconstruction_loss"], 2 * [reconstruction.mean()], rtol=1e-5)
    np.testing.assert_allclose(history["kl_loss"], 2 * [kl.mean()], rtol=1e-5)
    np.testing.assert_allclose(history["loss"], 2 * [(reconstruction + 2 * kl).mean()], rtol=1e-5)


def test_training_lowers_the_loss():
    vae = tiny()
    vae.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    x = np.repeat((images(2) > 0.5).astype("float32"), 8, axis=0)
    losses = vae.fit(x, batch_size=8, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_gradient_step_is_that_of_the_mean_loss():
    vae, x = without_noise(tiny(beta=2.0)), images(4)
    weights = vae.trainable_weights
    with tf.GradientTape() as tape:
        params = vae.encoder(x)
        logits = vae.decoder(params[:, :LATENT_DIM])
        bce = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
        mean, log_var = params[:, :LATENT_DIM], params[:, LATENT_DIM:]
        kl = -0.5 * tf.reduce_sum(1 + log_var - mean**2 - tf.exp(log_var), axis=-1)
        loss = tf.reduce_mean(tf.reduce_sum(bce, axis=(1, 2, 3)) + 2 * kl)
    expected = [w - 0.01 * g for w, g in zip(weights, tape.gradient(loss, [w.value for w in weights]), strict=True)]
    vae.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    vae.train_on_batch(x)
    for weight, value in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, rtol=1e-4, atol=1e-5, err_msg=weight.path)


def test_loss_scaling_leaves_the_step_as_it_is():
    x, after = images(4), []
    for optimizer in (
        keras.optimizers.SGD(0.01),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=1024.0),
    ):
        vae = tiny()
        initial = [value(w) for w in vae.trainable_weights]
        vae.compile(optimizer, jit_compile=False)
        vae.train_on_batch(x)
        after.append([value(w) for w in vae.trainable_weights])
    for start, plain, scaled in zip(initial, *after, strict=True):
        assert np.abs(plain - start).max() > 1e-3
        np.testing.assert_allclose(scaled, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_trains_under_mixed_precision_with_losses_in_float32(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        vae = build_vae(SHAPE, LATENT_DIM, "dense", "bn", hidden_sizes=(6,), beta=0.1)
        vae.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
        logs = vae.train_on_batch(images(4), return_dict=True)
    finally:
        keras.config.set_dtype_policy(before)
    assert logs["loss"] == pytest.approx(logs["reconstruction_loss"] + 0.1 * logs["kl_loss"], rel=1e-5)


@pytest.mark.slow
def test_compiling_with_xla_changes_no_number():
    x, histories = images(5), []
    for jit_compile in (False, True):
        vae = without_noise(tiny("bn"))
        vae.compile(keras.optimizers.Adam(1e-2), jit_compile=jit_compile)
        histories.append(vae.fit(x, batch_size=4, epochs=2, shuffle=False, verbose=0).history)
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-4, err_msg=name)


def regularized(**regularizers):
    encoder = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(2 * LATENT_DIM, name="posterior_params", **regularizers),
        ]
    )
    decoder = tiny().decoder
    latents = FlatLatents(encoder, decoder, DiagonalNormal(), StandardNormal(LATENT_DIM))
    vae = VAE(latents, Bernoulli(), ELBO(3.0))
    vae.build((None, *SHAPE))
    return frozen(vae)


def test_weight_regularizer_of_a_users_encoder_is_part_of_the_loss():
    vae = regularized(kernel_regularizer=keras.regularizers.L2(0.5))
    kernel = value(vae.encoder.get_layer("posterior_params").kernel).astype("float64")
    logs = vae.train_on_batch(images(4), return_dict=True)
    penalty = logs["loss"] - logs["reconstruction_loss"] - 3 * logs["kl_loss"]
    assert penalty == pytest.approx(0.5 * (kernel**2).sum(), rel=1e-4)


def test_activity_regularizer_of_a_users_encoder_counts_once_in_every_step():
    vae, x = regularized(activity_regularizer=keras.regularizers.L2(0.5)), images(4)
    expected = 0.5 * (np.asarray(vae.encoder(x), "float64") ** 2).sum() / len(x)
    for _ in range(3):
        vae.reset_metrics()
        logs = vae.train_on_batch(x, return_dict=True)
        penalty = logs["loss"] - logs["reconstruction_loss"] - 3 * logs["kl_loss"]
        assert penalty == pytest.approx(expected, rel=1e-4)


def fitted_history(seed):
    keras.utils.set_random_seed(seed)
    vae = build_vae(SHAPE, LATENT_DIM, "dense", "bn", hidden_sizes=(6,), seed=seed)
    vae.compile(keras.optimizers.Adam(1e-2), jit_compile=False)
    return vae.fit(images(10), batch_size=4, epochs=3, validation_data=images(4, seed=1), verbose=0).history


def test_the_same_seed_gives_the_same_history_and_another_does_not():
    first = fitted_history(3)
    assert fitted_history(3) == first
    assert fitted_history(4)["loss"] != first["loss"]


def test_the_seed_of_the_model_decides_the_posterior_noise():
    x = images(4)
    draws = [np.asarray(tiny(seed=seed).elbo_terms(x).inferred.z) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 0.1


def test_classes_where_a_target_belongs_are_refused():
    dataset = tf.data.Dataset.from_tensor_slices((images(4), np.arange(4))).batch(2)
    with pytest.raises(ValueError, match=r"must have the same shape as the input.*pass labels as fit"):
        frozen(tiny()).fit(dataset, shuffle=False, verbose=0)


def test_a_target_is_what_the_likelihood_is_of():
    vae, corrupted, clean = frozen(without_noise(tiny())), images(5), images(5, seed=1)
    history = vae.fit(corrupted, clean, verbose=0).history
    params = np.asarray(vae.encoder(corrupted))
    expected = (cross_entropy(clean, vae.decoder(params[:, :LATENT_DIM])) + divergence(params)).mean()
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)
    np.testing.assert_allclose(vae.evaluate(corrupted, clean, verbose=0)[0], expected, rtol=1e-5)


def test_fits_a_dataset_of_unknown_batch_size():
    vae, x = frozen(without_noise(tiny())), images(5)
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(4)
    history = vae.fit(dataset, shuffle=False, verbose=0).history
    params = np.asarray(vae.encoder(x))
    expected = (cross_entropy(x, vae.decoder(params[:, :LATENT_DIM])) + divergence(params)).mean()
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)


# ---- Testing


def test_evaluation_uses_beta_one():
    vae = frozen(without_noise(tiny(beta=4.0)))
    x = images(5)
    params = np.asarray(vae.encoder(x))
    expected = (cross_entropy(x, vae.decoder(params[:, :LATENT_DIM])) + divergence(params)).mean()
    measured = vae.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    assert measured["loss"] == pytest.approx(expected, rel=1e-5)
    assert measured["loss"] == pytest.approx(measured["reconstruction_loss"] + measured["kl_loss"], rel=1e-6)


def test_validation_columns_use_beta_one():
    vae, x = frozen(without_noise(tiny(beta=4.0))), images(4)
    history = vae.fit(x, validation_data=x, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(history["val_reconstruction_loss"][0] + history["val_kl_loss"][0])
    assert history["val_kl_loss"] == pytest.approx(history["kl_loss"])


def test_evaluation_leaves_the_moving_statistics_and_uses_them():
    vae, x = frozen(tiny("bn")), images(5)
    randomize_statistics(vae)
    before = moving_statistics(vae)
    measured = vae.evaluate(x, batch_size=4, verbose=0, return_dict=True)
    assert len(before) == 4
    for path, value in moving_statistics(vae).items():
        np.testing.assert_array_equal(value, before[path], err_msg=path)
    expected = divergence(vae.encoder(x, training=False)).mean()
    assert measured["kl_loss"] == pytest.approx(expected, rel=1e-5)


# ---- Batch normalization


def normalized_encoder(vae, x, mean, variance):
    """The encoder in numpy, its one hidden layer normalized by the given statistics."""
    weights = {w.path.rpartition("/")[-1]: value(w).astype("float64") for w in batch_norms(vae.encoder)[0].weights}
    hidden = hidden_activation(vae, x)
    hidden = weights["gamma"] * (hidden - mean) / np.sqrt(variance + BATCH_NORM_EPSILON) + weights["beta"]
    kernel, bias = vae.encoder.get_layer("posterior_params").get_weights()
    return hidden @ kernel.astype("float64") + bias


def hidden_activation(vae, x):
    kernel, bias = (w.astype("float64") for w in vae.encoder.get_weights()[:2])
    return np.maximum(x.reshape(len(x), -1) @ kernel + bias, 0)


def test_inference_normalizes_by_the_moving_statistics():
    vae, x = tiny("bn"), images(4)
    randomize_statistics(vae)
    layer = batch_norms(vae.encoder)[0]
    mean, variance = value(layer.moving_mean), value(layer.moving_variance)
    expected = normalized_encoder(vae, x, mean, variance)
    np.testing.assert_allclose(vae.elbo_terms(x, training=False).kl_loss(), divergence(expected), rtol=1e-4)
    np.testing.assert_allclose(vae.encode(x), expected[:, :LATENT_DIM], rtol=1e-4, atol=1e-5)


def test_training_normalizes_by_the_batch():
    vae, x = frozen(tiny("bn")), images(6)
    randomize_statistics(vae)
    hidden = hidden_activation(vae, x)
    expected = divergence(normalized_encoder(vae, x, hidden.mean(axis=0), hidden.var(axis=0)))
    logs = vae.train_on_batch(x, return_dict=True)
    np.testing.assert_allclose(logs["kl_loss"], expected.mean(), rtol=1e-4)


def test_training_moves_the_statistics_towards_the_batch():
    vae, x = frozen(tiny("bn")), images(6)
    randomize_statistics(vae)
    layer, hidden = batch_norms(vae.encoder)[0], hidden_activation(vae, x)
    expected = 0.99 * value(layer.moving_mean) + 0.01 * hidden.mean(axis=0)
    before = moving_statistics(vae)
    vae.train_on_batch(x)
    np.testing.assert_allclose(layer.moving_mean, expected, rtol=1e-5, atol=1e-6)
    after = moving_statistics(vae)
    assert len(after) == 4
    assert all(np.abs(after[path] - value).max() > 1e-4 for path, value in before.items())


def test_an_examples_inference_output_does_not_depend_on_the_others_in_its_batch():
    vae = tiny("bn")
    randomize_statistics(vae)
    x = images(6)
    x[1:] *= 0.1
    np.testing.assert_allclose(vae.reconstruct(x)[:1], vae.reconstruct(x[:1]), rtol=1e-5)
    alone, together = (vae.elbo_terms(batch, training=False).kl_loss()[0] for batch in (x[:1], x))
    np.testing.assert_allclose(together, alone, rtol=1e-5)


# ---- Encoding, decoding, sampling


@pytest.fixture(scope="module")
def vae():
    """A VAE that the tests below only ask, never change."""
    vae = tiny("bn")
    randomize_statistics(vae)
    return vae


def test_encode_gives_the_posterior_means(vae):
    x = images(5)
    z = vae.encode(x)
    assert isinstance(z, np.ndarray)
    assert (z.shape, z.dtype) == ((5, LATENT_DIM), np.float32)
    np.testing.assert_allclose(z, vae.encoder(x, training=False)[:, :LATENT_DIM], rtol=1e-5, atol=1e-6)


def test_encode_and_decode_do_not_depend_on_the_batch_size(vae):
    x = images(7)
    z = vae.encode(x)
    np.testing.assert_allclose(vae.encode(x, batch_size=3), z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vae.decode(z, batch_size=3), vae.decode(z), rtol=1e-5, atol=1e-6)


def test_decode_gives_probabilities_in_the_images_shape(vae):
    z = np.random.default_rng(2).normal(size=(5, LATENT_DIM)).astype("float32")
    decoded = vae.decode(z)
    assert isinstance(decoded, np.ndarray)
    assert (decoded.shape, decoded.dtype) == ((5, *SHAPE), np.float32)
    expected = 1 / (1 + np.exp(-np.asarray(vae.decoder(z, training=False), "float64")))
    np.testing.assert_allclose(decoded, expected, rtol=1e-5, atol=1e-6)


def test_decode_with_a_gaussian_likelihood_gives_the_decoders_means():
    vae = tiny(likelihood="gaussian", sigma=0.1)
    z = np.random.default_rng(2).normal(size=(5, LATENT_DIM)).astype("float32")
    np.testing.assert_allclose(vae.decode(z), vae.decoder(z), rtol=1e-5, atol=1e-6)


def test_reconstruct_call_and_predict_decode_the_posterior_mean(vae):
    x = images(5)
    expected = vae.decode(vae.encode(x))
    np.testing.assert_array_equal(vae.reconstruct(x), expected)
    np.testing.assert_allclose(vae(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(vae.predict(x, verbose=0), expected, rtol=1e-5, atol=1e-6)


def test_sample_decodes_draws_from_the_prior(vae):
    samples = vae.sample(4, seed=1)
    assert isinstance(samples, np.ndarray)
    assert (samples.shape, samples.dtype) == ((4, *SHAPE), np.float32)
    np.testing.assert_array_equal(samples, vae.decode(np.asarray(vae.prior.sample(4, seed=1))))


def test_sample_repeats_with_the_same_seed_and_changes_with_another(vae):
    first = vae.sample(4, seed=1)
    np.testing.assert_array_equal(vae.sample(4, seed=1), first)
    assert not np.array_equal(vae.sample(4, seed=2), first)


def test_sample_moves_a_seed_generator_on(vae):
    generator = keras.random.SeedGenerator(1)
    assert not np.array_equal(vae.sample(4, seed=generator), vae.sample(4, seed=generator))


@pytest.mark.parametrize("n", [0, -1])
def test_sampling_fewer_than_one_is_refused(vae, n):
    with pytest.raises(ValueError, match=f"n={n}"):
        vae.sample(n, seed=1)


def test_temperature_zero_gives_the_image_at_the_priors_centre(vae):
    samples = vae.sample(3, seed=1, temperature=0.0)
    centre = vae.decode(np.zeros((3, LATENT_DIM), "float32"))
    np.testing.assert_array_equal(samples, centre)
    np.testing.assert_array_equal(samples[0], samples[1])


def test_temperature_scales_the_latents(vae):
    z = 0.5 * np.asarray(vae.prior.sample(3, seed=1))
    np.testing.assert_allclose(vae.sample(3, seed=1, temperature=0.5), vae.decode(z), rtol=1e-6)


def test_sampling_and_reconstructing_leave_the_training_noise_alone(vae):
    before = value(vae.seed_generator.state)
    vae.sample(2, seed=1)
    vae.reconstruct(images(2))
    np.testing.assert_array_equal(vae.seed_generator.state, before)


def test_evaluation_repeats_its_noise():
    vae, x = frozen(tiny()), images(6)
    assert vae.evaluate(x, verbose=0) == vae.evaluate(x, verbose=0)


def test_validation_leaves_training_as_it_was():
    histories = []
    for validation in (None, (images(3),)):
        keras.utils.set_random_seed(0)
        vae = tiny()
        vae.compile(keras.optimizers.Adam(1e-2))
        history = vae.fit(images(6), validation_data=validation, epochs=3, batch_size=4, verbose=0).history
        histories.append(history["loss"])
    assert histories[0] == histories[1]


@pytest.mark.parametrize("temperature", [-1.0, float("nan")])
def test_temperature_out_of_range_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be at least 0"):
        tiny().sample(2, seed=0, temperature=temperature)


def test_a_decoder_that_does_not_fit_the_data_is_refused():
    vae = VAE.from_config(tiny().get_config())
    vae.latents.decoder = keras.Sequential([keras.Input((LATENT_DIM,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="decoder must output shape"):
        vae.build((None, *SHAPE))
