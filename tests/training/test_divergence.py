from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from vae_tf.backend.adam import Adam
from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.config import RunConfig
from vae_tf.model import build_vae
from vae_tf.support.errors import InputError
from vae_tf.training import loop
from vae_tf.training.checkpoint.state import TrainingState
from vae_tf.training.divergence import MAX_ROLLBACKS, DivergenceCallback, check_final_model
from vae_tf.training.stage import VAE_STAGE, Stage

IMAGES = np.random.default_rng(0).random((8, 8, 8, 1), np.float32)
DENSE = {"arch": "dense", "hidden_sizes": (4,)}
STEPS_PER_EPOCH = 6


def with_pixel(value):
    """The images but for one pixel of one of them."""
    images = IMAGES.copy()
    images[3, 4, 5] = value
    return images


def built(
    *, jit=False, micro_batch_size=None, optimizer=Adam, max_consecutive_skips=10, averaging=False, clip=None, **options
):
    keras.utils.set_random_seed(0)
    vae = build_vae((8, 8, 1), 2, **{**DENSE, **options})
    vae.micro_batch_size = micro_batch_size
    vae.compile(optimizer(1e-2, use_ema=averaging, global_clipnorm=clip), jit_compile=jit)
    guard = GuardedStep(vae, max_consecutive_skips)
    steps = loop.StepRunner(vae, guard, guard.may_continue)

    def step(batch=IMAGES):
        list(steps.run(iter(tf.data.Dataset.from_tensors(batch)), 0, 1))

    state = TrainingState([Stage(VAE_STAGE, vae, guard, 1, STEPS_PER_EPOCH, None)])
    return SimpleNamespace(vae=vae, guard=guard, state=state, step=step)


def of(captured, *groups):
    return {name: value for name, value in captured.items() if name.startswith(groups)}


def check_equal(values, expected):
    assert values.keys() == expected.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


# A step


CHANGED = ("model", "optimizer", "metrics")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="dense"),
        pytest.param({"arch": "conv", "hidden_sizes": None, "averaging": True}, id="conv-ema", marks=pytest.mark.slow),
        pytest.param({"micro_batch_size": 3, "clip": 0.5}, id="micro-batches-clip"),
        pytest.param({"variant": "plain", "likelihood": "learned_gaussian"}, id="plain"),
        pytest.param({"jit": True}, id="jit", marks=pytest.mark.slow),
        pytest.param({"dtype_policy": "mixed_bfloat16"}, id="mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param({"dtype_policy": "mixed_float16", "averaging": True}, id="mixed_float16-ema"),
    ],
)
def test_a_batch_that_is_not_finite_leaves_all_but_the_noise_as_if_it_had_not_come(options):
    training = built(**options)
    training.step()
    before = training.state.capture()
    training.step(with_pixel(np.nan))
    skipped = training.state.capture()
    assert training.guard.skipped[:3] == (1, 1, 0)
    check_equal(of(skipped, *CHANGED), of(before, *CHANGED))
    assert any((value != before[name]).any() for name, value in of(skipped, "noise").items())

    training.step()
    reached = training.state.capture()
    training.state.restore({**before, **of(skipped, "noise")})
    training.step()
    check_equal(of(training.state.capture(), *CHANGED), of(reached, *CHANGED))
    assert any((value != before[name]).any() for name, value in of(reached, "model").items())


@pytest.fixture(scope="module")
def one():
    """A model for tests that leave it as it was."""
    return built()


@pytest.fixture
def training(one):
    captured = one.state.capture()
    yield one
    one.state.restore(captured)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_loss_is_skipped(training, value):
    before = training.state.capture()
    training.step(with_pixel(value))

    assert training.guard.skipped.total == 1
    check_equal(of(training.state.capture(), *CHANGED), of(before, *CHANGED))


def test_a_step_that_updates_ends_the_row_of_those_that_did_not(training):
    for images in (with_pixel(np.nan), with_pixel(np.nan), IMAGES, with_pixel(np.nan)):
        training.step(images)

    assert (training.guard.skipped.total, training.guard.skipped.consecutive) == (3, 1)


def test_the_parts_of_the_loss_and_the_norm_of_the_gradient_are_kept(training):
    training.step()
    training.step((IMAGES, with_pixel(np.nan)))  # the encoder sees the whole image, so only the reconstruction is NaN
    skipped = training.guard.skipped

    assert list(skipped.losses) == ["reconstruction_loss", "kl_loss"]
    assert np.isnan([skipped.losses["reconstruction_loss"], skipped.gradient_norm]).all()
    assert np.isfinite(skipped.losses["kl_loss"])


def root_of_zero(kernel):
    """Adds nothing to the loss, and infinity to its gradient."""
    return ops.sum(ops.sqrt(kernel - ops.stop_gradient(kernel)))


def with_infinite_gradient(**options):
    training = built(**options)
    [dense, *_] = (layer for layer in training.vae.encoder.layers if hasattr(layer, "kernel"))
    dense.kernel.regularizer = root_of_zero
    return training


def test_an_infinite_gradient_of_a_finite_loss_is_skipped():
    training = with_infinite_gradient(variant="plain")
    training.step()
    skipped = training.guard.skipped
    expected = training.vae.elbo_terms(IMAGES, seed=keras.random.SeedGenerator(0), training=True)

    assert (skipped.total, skipped.gradient_norm) == (1, np.inf)
    assert skipped.losses["kl_loss"] == pytest.approx(float(np.mean(expected.kl_loss())), rel=1e-5)
    reconstruction_loss = float(np.mean(expected.reconstruction_loss()))
    assert skipped.losses["reconstruction_loss"] == pytest.approx(reconstruction_loss, rel=1e-5)


def test_an_infinite_gradient_leaves_batch_normalization_as_it_was():
    training = with_infinite_gradient()
    before = training.state.capture()
    training.step()

    check_equal(of(training.state.capture(), *CHANGED), of(before, *CHANGED))


def test_a_gradient_that_overflows_at_every_scale_of_the_loss_is_counted_at_the_last():
    training = with_infinite_gradient(dtype_policy="mixed_float16", variant="plain")
    scale = training.vae.optimizer.dynamic_scale
    scale.assign(4.0)
    counts = []
    for _ in range(5):
        training.step()
        counts.append((float(scale), training.guard.skipped.total))

    assert counts == [(2.0, 0), (1.0, 0), (1.0, 1), (1.0, 2), (1.0, 3)]
    assert np.isfinite(training.vae.get_weights()[0]).all()


def test_an_infinite_average_with_finite_loss_and_gradient_is_skipped():
    """Inputs whose square is too large are all normalized to zero."""
    training = built()
    before = training.state.capture()
    training.step((IMAGES * np.float32(1e30), IMAGES))

    skipped = training.guard.skipped
    assert np.isfinite([skipped.losses["reconstruction_loss"], skipped.gradient_norm]).all()
    assert skipped.total == 1
    check_equal(of(training.state.capture(), *CHANGED), of(before, *CHANGED))


def test_no_more_steps_are_made_in_a_call_after_the_most_in_a_row(monkeypatch):
    training = built(max_consecutive_skips=3)
    steps = loop.StepRunner(training.vae, training.guard, training.guard.may_continue)
    steps._steps_per_call = 20
    done, _ = next(steps.run(iter(poisoned_batches(range(5, 21))), 0, 20))

    assert (done, training.guard.skipped.consecutive) == (7, 3)


# A run


def poisoned_batches(poisoned):
    """Endless, of which those of the steps `poisoned`, from 1, have one pixel that is not a number."""
    bad = tf.constant(list(poisoned), tf.int64)

    def batch(number):
        return tf.where(tf.reduce_any(number == bad), with_pixel(np.nan), IMAGES)

    return tf.data.Dataset.counter(1).map(batch)


def run(training, poisoned, *, on_nan="skip", roll_back=lambda: None, epochs=2, listeners=()):
    config = RunConfig(on_nan=on_nan, learning_rate=0.25)
    loop.train(
        training.vae,
        poisoned_batches(poisoned),
        epochs=epochs,
        steps_per_epoch=STEPS_PER_EPOCH,
        guard=training.guard,
        callbacks=[DivergenceCallback(training.guard, config, roll_back), *listeners],
    )


@pytest.fixture(params=[0, 1e9], ids=["one-step-in-a-call", "many"])
def seconds_per_call(request, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_PER_CALL", request.param)


def num_updates(training):
    return int(training.vae.optimizer.iterations)


@pytest.mark.usefixtures("seconds_per_call")
def test_the_end_of_an_epoch_warns_of_the_updates_that_were_skipped(training, capsys):
    run(training, [2, 3, 5, 8], epochs=3)

    assert capsys.readouterr().err.splitlines() == [
        "warning: epoch 1: skipped 3 updates because the loss or a gradient was not finite",
        "warning: epoch 2: skipped 1 update because the loss or a gradient was not finite",
    ]
    assert num_updates(training) == 3 * STEPS_PER_EPOCH - 4
    assert all(np.isfinite(weight).all() for weight in training.vae.get_weights())


@pytest.mark.usefixtures("seconds_per_call")
def test_the_losses_of_an_epoch_are_those_of_its_finite_batches(training):
    logs = []
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, measured: logs.append(measured["loss"]))
    run(training, [1, 2, 4], listeners=[record])

    assert np.isfinite(logs).all()


@pytest.mark.usefixtures("seconds_per_call")
def test_stop_stops_at_the_first(capsys):
    training = built(max_consecutive_skips=1)
    with pytest.raises(InputError) as error:
        run(training, range(5, 100), on_nan="stop")

    kl_loss = training.guard.skipped.losses["kl_loss"]
    assert str(error.value).replace(f"kl_loss {kl_loss:g}", "kl_loss K") == (
        "Training diverged in epoch 1: the loss or gradient was not finite at step 5 (on_nan=stop). Last values: "
        "reconstruction_loss nan, kl_loss K, gradient norm nan, learning_rate=0.25; lower learning_rate or set "
        "clip_norm, and start over in a new run_dir or with --overwrite"
    )
    assert (num_updates(training), training.guard.skipped.total) == (4, 1)


@pytest.mark.usefixtures("seconds_per_call")
def test_skip_stops_after_so_many_in_a_row():
    training = built(max_consecutive_skips=4)
    with pytest.raises(
        InputError, match=r"^Training diverged in epoch 2: .* not finite for 4 consecutive steps, up to step 9\."
    ):
        run(training, [1, 2, 3, *range(6, 100)])

    assert (num_updates(training), training.guard.skipped.total) == (2, 7)


@pytest.mark.usefixtures("seconds_per_call")
def test_rollback_continues_with_the_weights_that_were_saved(capsys):
    training = built(max_consecutive_skips=2)
    saved = training.state.capture()

    def roll_back():
        training.state.restore_weights_and_optimizer(saved)
        return 0

    run(training, [3, 4, 11], on_nan="rollback", roll_back=roll_back)

    assert "warning: training diverged at step 4; continuing with the weights of step 0\n" in capsys.readouterr().err
    assert training.guard.skipped[:3] == (3, 0, 1)
    assert int(training.vae.step_counter.value) == 12  # all of them
    assert num_updates(training) == 7  # of steps 5 to 12 but for one


@pytest.mark.usefixtures("seconds_per_call")
def test_rollbacks_come_to_an_end():
    training = built(max_consecutive_skips=2)
    calls = []

    def roll_back():
        calls.append(num_updates(training))
        return 7

    with pytest.raises(InputError, match=r"^Training diverged in epoch 2: .* 2 consecutive steps, up to step 9\."):
        run(training, range(2, 100), on_nan="rollback", roll_back=roll_back)

    assert len(calls) == MAX_ROLLBACKS
    assert (num_updates(training), training.guard.skipped.total) == (1, 8)


def test_rollback_needs_a_checkpoint():
    training = built(max_consecutive_skips=2)
    with pytest.raises(
        InputError, match=r"in a new run_dir or with --overwrite \(there is no checkpoint to roll back to yet\)$"
    ):
        run(training, range(2, 100), on_nan="rollback")


# The end


def test_a_finite_model_may_be_saved(training):
    check_final_model(training.vae, {"loss": 3.0}, RunConfig())


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_test_loss_that_is_not_finite_is_divergence(training, number):
    with pytest.raises(InputError, match=r"^Training diverged in epoch 7: .*learning_rate=0\.001"):
        check_final_model(training.vae, {"loss": number}, RunConfig(epochs=7))


@pytest.mark.parametrize("place", [0, -1])
def test_a_weight_that_is_not_finite_is_divergence(training, place):
    weight = training.vae.weights[place]
    weight.assign(weight * np.nan)
    with pytest.raises(InputError, match=r"^Training diverged"):
        check_final_model(training.vae, {"loss": 3.0}, RunConfig())
