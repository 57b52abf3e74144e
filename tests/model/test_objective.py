"""The objective and its weight on the KL term."""

import keras
import numpy as np
import pytest

from vae_tf.model import VAE, BetaELBO, Terms, build_vae

KL = np.array([3.0, 0.5, 30.71], "float32")
LOG_LIKELIHOOD = np.array([[-10.0, -20.0, -1454.37], [-14.0, -22.0, -1450.11]], "float32")
RECONSTRUCTION = np.array([12.0, 21.0, 1452.24])


def terms():
    nothing = np.zeros_like(LOG_LIKELIHOOD)
    return Terms(LOG_LIKELIHOOD, nothing, nothing, KL, nothing[..., None])


def built(beta):
    objective = BetaELBO(beta)
    objective.build()
    return objective


def test_reconstruction_loss_is_minus_the_mean_over_the_draws():
    np.testing.assert_allclose(terms().reconstruction_loss(), RECONSTRUCTION, rtol=1e-6)


def test_negative_elbo_is_reconstruction_plus_kl():
    np.testing.assert_allclose(terms().negative_elbo(), RECONSTRUCTION + KL, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 4.0])
def test_loss_is_reconstruction_plus_beta_times_kl(beta):
    np.testing.assert_allclose(built(beta)(terms()), RECONSTRUCTION + beta * KL, rtol=1e-6)


def test_beta_defaults_to_the_negative_elbo():
    objective = BetaELBO()
    objective.build()
    np.testing.assert_allclose(objective(terms()), RECONSTRUCTION + KL, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_loss_stays_float32_under_mixed_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        loss = np.asarray(built(0.1)(terms()))
    finally:
        keras.config.set_dtype_policy(before)
    assert loss.dtype == np.float32
    np.testing.assert_allclose(loss, RECONSTRUCTION + 0.1 * KL, rtol=1e-6)


def test_beta_is_not_trained():
    objective = built(2.0)
    assert objective.trainable_variables == []
    assert objective.non_trainable_variables == [objective.beta]


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf")])
def test_beta_that_is_negative_or_not_finite_is_refused(beta):
    with pytest.raises(ValueError, match=f"beta={beta}"):
        BetaELBO(beta)


def test_assigning_beta_between_steps_takes_effect_without_retracing():
    traces = []

    class Counting(BetaELBO):
        def call(self, terms):
            traces.append(1)
            return super().call(terms)

    parts = build_vae((8, 8, 1), 2, arch="dense", variant="plain", hidden_sizes=(4,))
    vae = VAE(parts.encoder, parts.decoder, parts.posterior, parts.prior, parts.likelihood, Counting(1.0))
    vae.build((None, 8, 8, 1))
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    x = np.random.default_rng(0).random((4, 8, 8, 1)).astype("float32")

    for _ in range(2):
        vae.train_on_batch(x)
    traced = len(traces)
    for beta in (1.0, 0.0, 7.5):
        vae.objective.beta.assign(beta)
        vae.reset_metrics()
        logs = vae.train_on_batch(x, return_dict=True)
        assert logs["kl_loss"] > 0.01
        np.testing.assert_allclose(logs["loss"], logs["reconstruction_loss"] + beta * logs["kl_loss"], rtol=1e-6)
    assert len(traces) == traced
