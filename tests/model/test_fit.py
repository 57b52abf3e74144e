"""What a user's own `fit` adds to Keras's: updates that would not be finite are skipped, and schedules are reported."""

import inspect

import keras
import numpy as np
import pytest

from vae_tf.backend.adam import Adam
from vae_tf.model import ELBO, VAE, DiagonalNormal, FlatLatents, build_vae
from vae_tf.support.errors import InputError

SHAPE = (8, 8, 1)
BATCH_SIZE = 2


def batches(num, poisoned=()):
    """The images of so many batches; those of the numbers `poisoned`, from 0, are not numbers."""
    x = np.random.default_rng(0).random((num * BATCH_SIZE, *SHAPE), np.float32)
    for number in poisoned:
        x[number * BATCH_SIZE] = np.nan
    return x


def tiny(**options):
    keras.utils.set_random_seed(0)
    return build_vae(SHAPE, 2, "dense", hidden_sizes=(4,), **options)


def compiled(optimizer=None, **options):
    vae = tiny(**options)
    vae.compile(optimizer or keras.optimizers.SGD(1e-3), jit_compile=False)
    return vae


def fit(vae, x, **options):
    return vae.fit(x, batch_size=BATCH_SIZE, shuffle=False, verbose=0, **options).history


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_batches_that_are_not_finite_are_skipped_and_the_weights_stay_finite(run_eagerly):
    vae = tiny()
    vae.compile(keras.optimizers.SGD(1e-3), jit_compile=False, run_eagerly=run_eagerly)
    history = fit(vae, batches(6, poisoned=[1, 2, 5]))

    assert vae.guard.skipped.total == 3
    assert int(vae.optimizer.iterations) == 3
    assert all(np.isfinite(weight).all() for weight in vae.get_weights())
    assert np.isfinite(history["loss"]).all()


def test_nine_poisoned_batches_in_a_row_are_skipped():
    vae = compiled()
    fit(vae, batches(11, poisoned=range(1, 10)))

    assert (vae.guard.skipped.total, vae.guard.skipped.consecutive) == (9, 0)
    assert int(vae.optimizer.iterations) == 2
    assert all(np.isfinite(weight).all() for weight in vae.get_weights())


def test_ten_poisoned_batches_in_a_row_stop_training_in_one_line():
    vae = compiled()
    reason = (
        r"^Training diverged: losses or gradients were non-finite for 10 consecutive steps, the last with "
        r"reconstruction_loss nan, kl_loss \S+, gradient norm nan; lower the learning rate$"
    )
    with pytest.raises(InputError, match=reason):
        fit(vae, batches(20, poisoned=range(2, 20)))

    assert int(vae.optimizer.iterations) == 2
    assert int(vae.step_counter.value) == 12
    assert all(np.isfinite(weight).all() for weight in vae.get_weights())


def test_a_skipped_batch_counts_as_a_step():
    vae = compiled()
    fit(vae, batches(6, poisoned=[1, 2, 5]))

    assert int(vae.step_counter.value) == 6


def test_counts_continue_in_the_next_fit():
    vae = compiled()
    for _ in range(2):
        fit(vae, batches(3, poisoned=[1]))

    assert vae.guard.skipped.total == 2
    assert int(vae.step_counter.value) == 6


def test_a_users_callbacks_are_called():
    seen = []
    one = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    fit(compiled(), batches(3), callbacks=one)
    fit(compiled(), batches(2), callbacks=[one])

    assert seen == [0, 1, 2, 0, 1]


def test_arguments_by_position_are_those_of_keras():
    seen, x = [], batches(4)
    one = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    history = compiled().fit(x, x, BATCH_SIZE, 3, 0, [one], 0.5).history

    assert seen == [0, 1] * 3  # the last half of the batches is the validation split
    assert len(history["val_loss"]) == 3


def test_arguments_by_position_have_the_names_and_defaults_of_keras():
    ours, theirs = (list(inspect.signature(kind.fit).parameters.values()) for kind in (VAE, keras.Model))
    named = [argument for argument in ours if argument.kind is argument.POSITIONAL_OR_KEYWORD]

    assert [argument.name for argument in named][-1] == "sample_weight"
    assert [(a.name, a.default) for a in named] == [(a.name, a.default) for a in theirs[: len(named)]]


def test_the_guard_is_made_by_the_first_step():
    vae = compiled()
    assert vae.guard is None
    vae.guarded_step(batches(1))
    guard = vae.guard
    vae.guarded_step(batches(1))

    assert vae.guard is guard
    assert int(vae.optimizer.iterations) == 2


def test_a_batch_alone_is_skipped_too():
    vae = compiled()
    before = vae.get_weights()
    vae.train_on_batch(batches(1, poisoned=[0]))

    assert vae.guard.skipped.total == 1
    for weight, expected in zip(vae.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_model_compiled_again_scales_the_loss_by_the_new_optimizer():
    vae = compiled(dtype_policy="mixed_float16")
    fit(vae, batches(1))
    inner = keras.optimizers.SGD(1e-3)
    vae.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=2.0**30), jit_compile=False)
    fit(vae, batches(1), epochs=30)

    assert int(inner.iterations) > 0


@pytest.mark.parametrize("micro_batch_size", [None, 1])
def test_a_schedule_weighs_by_the_steps_and_is_reported(micro_batch_size):
    vae = tiny(variant="plain", beta=6.0, kl_schedule="linear", kl_warmup_steps=4)
    vae.micro_batch_size = micro_batch_size
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    history = fit(vae, batches(2), epochs=3)

    # Steps 0 and 1, then 2 and 3, then 4 and 5 weigh 0, 1.5, 3, 4.5, 6 and 6.
    assert history["kl_weight"] == pytest.approx([0.75, 3.75, 6])
    assert history["loss"][2] == pytest.approx(history["reconstruction_loss"][2] + 6 * history["kl_loss"][2], rel=1e-5)


def test_a_skipped_step_moves_the_schedule_on():
    vae = compiled(beta=6.0, kl_schedule="linear", kl_warmup_steps=4)
    history = fit(vae, batches(3, poisoned=[1]))

    assert history["kl_weight"] == pytest.approx([1.5])  # the mean of those of steps 0 and 2, 0 and 3


def test_evaluation_and_validation_report_no_weight():
    vae, x = compiled(kl_schedule="linear", kl_warmup_steps=4), batches(2)
    history = fit(vae, x, validation_data=x)

    assert {name for name in history if name.startswith("val_")} == {
        "val_loss",
        "val_reconstruction_loss",
        "val_kl_loss",
    }
    assert set(vae.evaluate(x, verbose=0, return_dict=True)) == {"loss", "reconstruction_loss", "kl_loss"}
    assert len(vae.evaluate(x, verbose=0)) == 3


def test_progress_is_reported_by_the_names_of_the_trackers():
    vae = tiny(kl_schedule="cyclical", kl_warmup_steps=4)
    assert list(vae.trackers) == ["loss", "reconstruction_loss", "kl_loss", "kl_weight"]
    assert [metric.name for metric in vae.metrics] == list(vae.trackers)


class OtherPosterior(DiagonalNormal):
    """The same distribution, without a closed form of the divergence."""


def test_a_posterior_without_a_closed_form_trains_on_its_draws():
    parts = tiny(variant="plain")
    latents = FlatLatents(parts.encoder, parts.decoder, OtherPosterior(), parts.prior)
    vae = VAE(latents, parts.likelihood, ELBO())
    vae.build((None, *SHAPE))
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    x = batches(4)
    state = vae.seed_generator.state.numpy()
    inferred = vae.elbo_terms(x).inferred
    vae.seed_generator.state.assign(state)
    logs = vae.train_on_batch(x, return_dict=True)

    expected = np.mean(np.asarray(inferred.log_posterior, "float64") - np.asarray(inferred.log_prior, "float64"))
    assert logs["kl_loss"] == pytest.approx(expected, rel=1e-3, abs=1e-4)


class Penalized(FlatLatents):
    """Latents with a further loss, 7 for each example."""

    loss_names = ("penalty_loss",)

    def infer(self, x, labels, noise, training=False):
        inferred = super().infer(x, labels, noise, training)
        return inferred._replace(losses={"penalty_loss": 7.0 + 0.0 * inferred.log_posterior[0]})


class WithoutPrior(Penalized):
    """An autoencoder, whose latents have no prior."""

    def infer(self, x, labels, noise, training=False):
        return super().infer(x, labels, noise, training)._replace(log_prior=None, kl={})


def with_latents(kind):
    parts = tiny(variant="plain")
    vae = VAE(kind(parts.encoder, parts.decoder, parts.posterior, parts.prior), parts.likelihood, ELBO(3.0))
    vae.build((None, *SHAPE))
    vae.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    return vae


def test_further_losses_of_the_latents_are_added_in_training_and_reported():
    logs = with_latents(Penalized).train_on_batch(batches(2), return_dict=True)

    assert logs["penalty_loss"] == pytest.approx(7)
    assert logs["loss"] == pytest.approx(logs["reconstruction_loss"] + 3 * logs["kl_loss"] + 7, rel=1e-6)


def test_further_losses_are_no_part_of_the_evidence_lower_bound():
    measured = with_latents(Penalized).evaluate(batches(2), verbose=0, return_dict=True)

    assert measured["penalty_loss"] == pytest.approx(7)
    assert measured["loss"] == pytest.approx(measured["reconstruction_loss"] + measured["kl_loss"], rel=1e-6)


def test_a_model_without_a_prior_is_evaluated_by_all_its_losses():
    measured = with_latents(WithoutPrior).evaluate(batches(2), verbose=0, return_dict=True)

    assert measured["kl_loss"] == 0
    assert measured["loss"] == pytest.approx(measured["reconstruction_loss"] + 7, rel=1e-6)


class Mixing(ELBO):
    """An objective that looks at the whole batch."""

    mixes_examples = True


def test_an_objective_of_the_whole_batch_takes_no_parts_of_it():
    parts = tiny(variant="plain")
    vae = VAE(parts.latents, parts.likelihood, Mixing(), micro_batch_size=1)
    vae.build((None, *SHAPE))
    vae.compile(Adam(1e-3), jit_compile=False)
    with pytest.raises(
        ValueError, match=r"over the whole batch, .*\. Received: micro_batch_size=1; omit micro_batch_size"
    ):
        vae.train_on_batch(batches(2))


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize("with_target", [False, True])
def test_sample_weights_are_refused(method, with_target):
    x = batches(2)
    reason = r"^sample_weight is not supported, .*\. Received: sample_weight=ndarray; omit sample_weight$"
    with pytest.raises(InputError, match=reason):
        getattr(compiled(), method)(x, x if with_target else None, sample_weight=np.ones(4), verbose=0)


def test_sample_weights_of_validation_data_are_refused():
    x = batches(2)
    with pytest.raises(InputError, match=r"^sample_weight is not supported"):
        fit(compiled(), x, validation_data=(x, None, np.ones(4)))


def test_class_weights_are_refused():
    with pytest.raises(InputError, match=r"^class_weight is not supported, .*; omit class_weight$"):
        fit(compiled(), batches(2), class_weight={0: 1.0})


@pytest.mark.parametrize("name", ["loss", "loss_weights", "metrics", "weighted_metrics"])
def test_compile_refuses_losses_and_metrics(name):
    with pytest.raises(InputError, match=rf"^{name} is not supported, .*; omit {name}$"):
        tiny().compile("adam", **{name: ["mse"]})


def test_a_loaded_model_is_compiled_as_it_was_saved(tmp_path):
    vae = compiled(keras.optimizers.Adam(0.25))
    fit(vae, batches(2))
    vae.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")

    assert int(again.optimizer.iterations) == 2
    assert float(again.optimizer.learning_rate) == 0.25
    assert fit(again, batches(1))["loss"] == fit(vae, batches(1))["loss"]


def test_a_new_beta_takes_effect_at_the_next_step():
    vae = compiled(beta=1.0, variant="plain")
    fit(vae, batches(2))
    vae.objective.beta = 4.0
    history = fit(vae, batches(2))

    assert history["loss"][0] == pytest.approx(history["reconstruction_loss"][0] + 4 * history["kl_loss"][0], rel=1e-5)


def test_beta_is_saved_at_its_full_precision_and_is_no_weight(tmp_path):
    vae = compiled()
    vae.objective.beta = 0.1
    assert not vae.objective.variables
    vae.save(tmp_path / "model.keras")

    assert keras.saving.load_model(tmp_path / "model.keras").objective.beta == 0.1


@pytest.mark.parametrize("beta", [-1.0, float("inf"), float("nan")])
def test_a_new_beta_out_of_range_is_refused(beta):
    objective = ELBO()
    with pytest.raises(InputError, match=f"beta must be a finite number of at least 0. Received: beta={beta}"):
        objective.beta = beta
    assert objective.beta == 1
