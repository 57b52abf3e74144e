"""The evidence lower bound as an objective."""

import keras
import numpy as np
import pytest
from keras import ops

from vae_tf.model import ELBO, VAE, Inferred, Terms, build_vae

KL = np.array([3.0, 0.5, 30.71], "float32")
LOG_LIKELIHOOD = np.array([[-10.0, -20.0, -1454.37], [-14.0, -22.0, -1450.11]], "float32")
RECONSTRUCTION = np.array([12.0, 21.0, 1452.24])


def terms():
    nothing = np.zeros_like(LOG_LIKELIHOOD)
    # Two dimensions, of a quarter and three quarters of the divergence.
    per_dimension = np.stack([0.25 * KL, 0.75 * KL], axis=-1)
    return Terms(Inferred(nothing[..., None], nothing, nothing, {"z": per_dimension}), LOG_LIKELIHOOD)


def loss_of(objective, step=0):
    objective.build()
    return objective.call(terms(), ops.convert_to_tensor(step, "int64")).loss


def test_reconstruction_loss_is_minus_the_mean_over_the_draws():
    np.testing.assert_allclose(terms().reconstruction_loss(), RECONSTRUCTION, rtol=1e-6)


def test_kl_loss_is_the_sum_over_dimensions():
    np.testing.assert_allclose(terms().kl_loss(), KL, rtol=1e-6)


def test_kl_loss_is_the_sum_over_groups_of_latents():
    inferred = terms().inferred._replace(kl={"top": KL[:, None], "bottom": np.stack([KL, 2 * KL], axis=-1)})
    np.testing.assert_allclose(Terms(inferred, LOG_LIKELIHOOD).kl_loss(), 4 * KL, rtol=1e-6)


def test_kl_loss_of_a_model_without_a_prior_is_0():
    inferred = terms().inferred._replace(kl={}, log_prior=None)
    np.testing.assert_array_equal(Terms(inferred, LOG_LIKELIHOOD).kl_loss(), [0, 0, 0])


def test_negative_elbo_is_reconstruction_plus_kl():
    np.testing.assert_allclose(terms().negative_elbo(), RECONSTRUCTION + KL, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 4.0])
def test_loss_is_reconstruction_plus_beta_times_kl(beta):
    np.testing.assert_allclose(loss_of(ELBO(beta)), RECONSTRUCTION + beta * KL, rtol=1e-6)


def test_beta_defaults_to_the_negative_elbo():
    np.testing.assert_allclose(loss_of(ELBO()), RECONSTRUCTION + KL, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_loss_stays_float32_under_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        loss = np.asarray(loss_of(ELBO(0.1)))
    finally:
        keras.config.set_dtype_policy(before)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, RECONSTRUCTION + 0.1 * KL, rtol=1e-6)


def test_it_needs_one_draw_and_no_other_example():
    assert (ELBO.num_samples, ELBO.mixes_examples) == (1, False)


def test_the_weight_follows_the_steps_without_retracing():
    traces = []

    class Counting(ELBO):
        def call(self, terms, step):
            traces.append(1)
            return super().call(terms, step)

    parts = build_vae((8, 8, 1), 2, arch="dense", variant="plain", hidden_sizes=(4,))
    vae = VAE(parts.latents, parts.likelihood, Counting(6.0, "linear", 4))
    vae.build((None, 8, 8, 1))
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    x = np.random.default_rng(0).random((4, 8, 8, 1)).astype("float32")

    vae.train_on_batch(x)
    traced = len(traces)
    for weight in (1.5, 3.0, 4.5, 6.0, 6.0):
        vae.reset_metrics()
        logs = vae.train_on_batch(x, return_dict=True)
        assert logs["kl_loss"] > 0.01
        np.testing.assert_allclose(logs["kl_weight"], weight, rtol=1e-6)
        np.testing.assert_allclose(logs["loss"], logs["reconstruction_loss"] + weight * logs["kl_loss"], rtol=1e-6)
    assert len(traces) == traced
