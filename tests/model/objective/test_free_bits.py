"""Free bits against numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.config import RunConfig
from vae_tf.model.objective.free_bits import FreeBits
from vae_tf.model.terms import Inferred, Terms
from vae_tf.support.errors import InputError

KL = np.array([[0.05, 0.3, 0.0], [0.2, 0.1, 1.0]], "float32")
RECONSTRUCTION = np.array([10.0, 20.0], "float32")


def terms(kl):
    z = np.zeros((1, 2, 3), "float32")
    return Terms(Inferred(z, z[..., 0], z[..., 0], kl), -RECONSTRUCTION[None])


def loss(objective, kl, step=0):
    return np.asarray(objective.call(terms(kl), tf.constant(step, tf.int64)).loss)


def test_each_dimension_of_each_example_counts_at_least_its_free_bits():
    expected = RECONSTRUCTION + np.array([0.1 + 0.3 + 0.1, 0.2 + 0.1 + 1.0])
    np.testing.assert_allclose(loss(FreeBits(0.1), {"z": KL}), expected, rtol=1e-6)


def test_a_group_without_a_closed_form_counts_as_a_whole():
    expected = RECONSTRUCTION + np.array([0.5, 1.3])
    np.testing.assert_allclose(loss(FreeBits(0.5), {"z": KL.sum(axis=1, keepdims=True)}), expected, rtol=1e-6)


def test_groups_add_up():
    expected = RECONSTRUCTION + np.array([2 * 0.5, 2 * 1.3])
    np.testing.assert_allclose(loss(FreeBits(0.1), {"a": KL, "b": KL}), expected, rtol=1e-6)


def test_no_gradient_flows_below_the_free_bits():
    kl = tf.Variable(KL)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(FreeBits(0.15).call(terms({"z": kl}), tf.constant(0)).loss)
    np.testing.assert_array_equal(tape.gradient(value, kl), [[0, 1, 0], [1, 0, 1]])


def test_none_free_is_the_elbo():
    np.testing.assert_allclose(loss(FreeBits(0.0), {"z": KL}), RECONSTRUCTION + KL.sum(axis=1), rtol=1e-6)


def test_the_weight_and_its_schedule_apply_to_what_is_left():
    objective = FreeBits(0.1, beta=2.0, kl_schedule="linear", kl_warmup_steps=10)
    expected = RECONSTRUCTION + 2 * 0.5 * np.array([0.5, 1.3])
    np.testing.assert_allclose(loss(objective, {"z": KL}, step=5), expected, rtol=1e-6)


def test_config_restores_it():
    objective = FreeBits(0.3, beta=2.0, name="objective")
    assert FreeBits.from_config(objective.get_config()).get_config() == objective.get_config()


@pytest.mark.parametrize("free_bits", [-0.1, float("nan")])
def test_negative_bits_are_refused(free_bits):
    with pytest.raises(ValueError, match="free_bits must be at least 0"):
        FreeBits(free_bits)


def test_its_option_needs_it():
    with pytest.raises(InputError, match=r"objective_free_bits needs objective=free_bits\. Received: objective=elbo"):
        RunConfig(objective_free_bits=0.5)


def test_a_run_trains_with_it(command, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.savez(tmp_path / "data.npz", x_train=x[:40], x_test=x[40:])
    words = "--dataset npz --arch dense --hidden-sizes 8 --latent-dim 20 --epochs 1 --objective free_bits"
    words += " --objective-free-bits 0.5 --kl-schedule linear --kl-warmup-epochs 1"
    ended = command("train", *words.split(), "--data-dir", tmp_path / "data.npz", "--run-dir", tmp_path / "run")
    assert ended.status == 0, ended.stderr
    assert "objective_free_bits: 0.5" in (tmp_path / "run" / "config.yml").read_text()
    assert "kl_weight" in (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
