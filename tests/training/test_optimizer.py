"""What the options of a run make of the optimizer, against the formulas of the schedules and of Adam's averages."""

import keras
import numpy as np
import pytest

from vae_tf.config import RunConfig
from vae_tf.model import build_vae
from vae_tf.support.errors import InputError
from vae_tf.training.optimizer import apply_averaged_weights, averaged_weights, build_optimizer, num_updates

STEPS = np.arange(0, 101, 10)
IMAGES = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)
NAMES = ("constant", "linear", "cosine", "exponential")


def learning_rates(name, steps=STEPS, **options):
    config = RunConfig(learning_rate=0.02, learning_rate_schedule=name, **options)
    optimizer = build_optimizer(config, num_steps=100)
    optimizer.build([])
    rates = []
    for step in steps:
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    return rates


def compiled_vae(dtype_policy=None, **options):
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, "dense", "plain", hidden_sizes=(4,), dtype_policy=dtype_policy)
    vae.compile(build_optimizer(RunConfig(learning_rate=0.01, **options), 100), jit_compile=False)
    vae.optimizer.build(vae.trainable_weights)
    return vae


def weights(vae):
    return [np.asarray(weight.value) for weight in vae.trainable_weights]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", np.full(11, 0.02)),
        ("linear", 0.02 * (1 - STEPS / 100)),
        ("cosine", 0.01 * (1 + np.cos(np.pi * STEPS / 100))),
        ("exponential", 0.02 * 0.01 ** (STEPS / 100)),
    ],
)
def test_a_schedule_is_its_formula_over_the_updates_of_the_run(name, expected):
    np.testing.assert_allclose(learning_rates(name), expected, rtol=1e-4, atol=1e-8)


def test_warm_up_rises_from_zero_and_the_cosine_follows():
    rates = learning_rates("cosine", [0, 5, 10, 20, 65, 110], warmup_steps=20)

    falling = [0.01 * (1 + np.cos(np.pi * (step - 20) / 80)) for step in (20, 65)]
    np.testing.assert_allclose(rates, [0, 0.005, 0.01, *falling, 0], rtol=1e-4, atol=1e-8)


def test_a_warm_up_as_long_as_the_run_is_told():
    with pytest.raises(InputError, match=r"^warmup_steps must be less than the total number of updates\..*100 updates"):
        learning_rates("cosine", warmup_steps=100)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in ("linear", "exponential") else name for name in NAMES],
)
def test_a_schedule_survives_saving(tmp_path, name):
    vae = compiled_vae(learning_rate_schedule=name, clip_norm=0.5, ema=0.9)
    vae.fit(IMAGES, batch_size=2, epochs=2, verbose=0)
    vae.save(tmp_path / "vae.keras")
    optimizer = keras.saving.load_model(tmp_path / "vae.keras").optimizer

    assert float(optimizer.learning_rate) == pytest.approx(float(vae.optimizer.learning_rate), rel=1e-6)
    assert optimizer.get_config() == vae.optimizer.get_config()
    for variable, expected in zip(optimizer.variables, vae.optimizer.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy())


def test_gradients_are_clipped_by_their_norm_together():
    """Adam's first moment after one update is a tenth of the gradient, whose norm is cut."""
    norms = []
    for clip_norm in (None, 0.5):
        vae = compiled_vae(clip_norm=clip_norm)
        vae.train_on_batch(IMAGES)
        norms.append(np.sqrt(sum(np.sum(np.square(m.numpy())) for m in vae.optimizer._momentums)))

    assert norms[0] > 0.1
    assert norms[1] == pytest.approx(0.1 * 0.5, rel=1e-4)


@pytest.mark.parametrize("dtype_policy", [None, "mixed_float16"])
def test_averages_are_those_of_the_weights_after_every_update(dtype_policy):
    vae = compiled_vae(dtype_policy, ema=0.75)
    expected = None
    for _ in range(4):
        vae.train_on_batch(IMAGES / 100)  # gradients that float16 takes with the first loss scale
        now = weights(vae)
        expected = now if expected is None else [0.75 * a + 0.25 * b for a, b in zip(expected, now, strict=True)]
    with averaged_weights(vae):
        averages = weights(vae)
    after = weights(vae)

    for average, wanted, trained, restored in zip(averages, expected, now, after, strict=True):
        np.testing.assert_allclose(average, wanted, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(restored, trained)
    assert max(np.abs(a - b).max() for a, b in zip(averages, now, strict=True)) > 1e-3


def test_weights_come_back_after_an_error_too():
    vae = compiled_vae(ema=0.75)
    for _ in range(2):
        vae.train_on_batch(IMAGES)
    before = weights(vae)
    with pytest.raises(KeyboardInterrupt), averaged_weights(vae):
        raise KeyboardInterrupt
    for value, expected in zip(weights(vae), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_without_averages_the_weights_stay():
    vae = compiled_vae()
    before = weights(vae)
    with averaged_weights(vae):
        for value, expected in zip(weights(vae), before, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_weights_without_an_update_are_not_replaced_by_averages_that_have_none_yet():
    vae = build_vae((8, 8, 1), 2, "dense", "plain", hidden_sizes=(4,))
    vae.compile(build_optimizer(RunConfig(ema=0.9), 10))
    vae.optimizer.build(vae.trainable_weights)
    before = vae.get_weights()

    with averaged_weights(vae):
        during = vae.get_weights()
    apply_averaged_weights(vae)

    for values in (during, vae.get_weights()):
        for value, expected in zip(values, before, strict=True):
            np.testing.assert_array_equal(value, expected)


def test_updates_are_those_that_were_not_skipped():
    vae = build_vae((8, 8, 1), 2, "dense", "plain", hidden_sizes=(4,), dtype_policy="mixed_float16")
    vae.compile(build_optimizer(RunConfig(), 10))
    weights = vae.trainable_weights
    vae.optimizer.build(weights)
    assert num_updates(vae.optimizer) == 0

    for value, expected in ((np.inf, 0), (1.0, 1)):
        vae.optimizer.apply([np.full(weight.shape, value, np.float32) for weight in weights], weights)
        assert num_updates(vae.optimizer) == expected
