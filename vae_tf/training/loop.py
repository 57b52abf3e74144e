"""The training loop of the train command, which runs guarded steps.

`keras.Model.fit` has three limitations: the steps of an epoch must be a multiple of the steps it runs per call, it
can't start in the middle of an epoch, and it fails with TensorFlow's multi-worker strategy.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.distribute.strategy import is_multi_worker
from vae_tf.model.vae import VAE
from vae_tf.training.optimizer import apply_averaged_weights, averaged_weights

# Long enough that the overhead of a call is negligible, short enough for a progress bar and for Ctrl-C.
SECONDS_PER_CALL = 0.25


class StepRunner:
    """Runs a step of a model many times in one call to TensorFlow.

    The number of steps per call doubles until a call takes about `SECONDS_PER_CALL`; the result does not depend on it.
    With several workers, each call runs one step.

    Args:
        model: A compiled model.
        step: A `GuardedStep`, or the model's `test_step`.
        may_continue: Function that returns whether a call may run another step, a bool scalar. Default: always.
    """

    def __init__(
        self, model: VAE, step: Callable[[Any], Any], may_continue: Callable[[], tf.Tensor] = lambda: tf.constant(True)
    ) -> None:
        self._steps_per_call = 1
        # All workers must run the same number of steps per call, but their clocks would disagree.
        self._may_grow = not is_multi_worker(model.distribute_strategy)
        self._call = _compile_run_steps(model, step, may_continue)

    def run(
        self, batches: Any, start: int, stop: int, callback_every: int | None = None
    ) -> Iterator[tuple[int, dict[str, float]]]:
        """Runs steps; after every call, yields the number of steps done and the model's running means.

        Args:
            batches: Iterator over a dataset, or over a strategy's distributed dataset.
            start: Number of steps already completed. If no steps are left, one call is made anyway.
            stop: Step to stop at.
            callback_every: If set, a call ends at every multiple of this number of steps.
        """
        done, is_finished = start, False
        while not is_finished:
            limit = stop - done if callback_every is None else min(stop - done, callback_every - done % callback_every)
            count, call_start = min(self._steps_per_call, limit), time.perf_counter()
            num_run, means = self._call(batches, tf.constant(count))
            done += int(num_run)
            logs = {name: float(value) for name, value in means.items()}
            seconds = time.perf_counter() - call_start
            if self._may_grow and count == self._steps_per_call and seconds < SECONDS_PER_CALL / 2:
                self._steps_per_call *= 2
            yield done, logs
            is_finished = done == stop


def _compile_run_steps(
    model: VAE, step: Callable[[Any], Any], may_continue: Callable[[], tf.Tensor]
) -> Callable[[Any, tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor]]]:
    strategy = model.distribute_strategy
    if model.jit_compile:
        step = tf.function(step, jit_compile=True, reduce_retracing=True, autograph=False)

    @tf.function(reduce_retracing=True, autograph=False)  # AutoGraph is slow and not needed here
    def run_steps(batches: Any, count: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        def run_step(done: tf.Tensor) -> tuple[tf.Tensor]:
            strategy.run(step, (next(batches),))
            return (done + 1,)

        (done,) = tf.while_loop(lambda done: (done < count) & may_continue(), run_step, (tf.constant(0),))
        # Keras would report 0 if every step was skipped.
        means = {metric.name: tf.where(metric.count.value > 0, metric.result(), np.nan) for metric in model.metrics}
        return done, means

    return run_steps


def train(
    model: VAE,
    batches: tf.data.Dataset,
    *,
    epochs: int,
    steps_per_epoch: int,
    guard: GuardedStep,
    start: int = 0,
    callback_every: int | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    any_worker: Callable[[bool], bool] = bool,
) -> None:
    """Trains a compiled model, and calls Keras's callbacks as `fit` does.

    A callback can stop training by setting `model.stop_training`, which is checked after every call of several steps
    and after every epoch.

    If the optimizer averages the weights, `validate` uses the averages, and the model has them at the end; the
    callbacks see the weights being trained.

    Args:
        model: The model; if training resumes, in the state it had after step `start`.
        batches: Infinite dataset of batches, starting with the batch of the first step to run.
        epochs: Number of epochs.
        steps_per_epoch: Batches per epoch.
        guard: The guarded step; one of the callbacks must handle the updates it skips.
        start: Number of steps already completed. If `start` is the end of an epoch, the validation and the epoch-end
            callbacks of that epoch run again.
        callback_every: If set, the callbacks are also called at every multiple of this number of steps.
        validate: Function that returns the validation metrics, called after each epoch; they are logged as `val_*`.
        callbacks: Their `on_train_batch_end` is called after several steps, with the index of the last one.
        any_worker: Function that returns whether a condition holds on any worker; all workers call it.
    """
    callback_list = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch)
    runner, iterator = StepRunner(model, guard, guard.may_continue), iter(batches)
    model.stop_training = False
    callback_list.on_train_begin()
    for epoch in range(epoch_of(start, steps_per_epoch), epochs):
        first, last = max(start, epoch * steps_per_epoch), (epoch + 1) * steps_per_epoch
        if first == epoch * steps_per_epoch:
            model.reset_metrics()
        callback_list.on_epoch_begin(epoch)
        logs: dict[str, float] = {}
        for done, logs in runner.run(iterator, first, last, callback_every):
            callback_list.on_train_batch_end(done - epoch * steps_per_epoch - 1, logs)
            if any_worker(model.stop_training):
                break
        with averaged_weights(model):
            metrics = validate() if validate else {}
        callback_list.on_epoch_end(epoch, {**logs, **{f"val_{name}": value for name, value in metrics.items()}})
        if any_worker(model.stop_training):
            break
    apply_averaged_weights(model)
    callback_list.on_train_end()


def epoch_of(step: int, steps_per_epoch: int) -> int:
    """Returns the epoch, counted from 0, that a step belongs to.

    The last step of an epoch still belongs to that epoch.
    """
    return max(step - 1, 0) // steps_per_epoch


class Evaluator:
    """Computes what `model.evaluate(batches, return_dict=True)` computes.

    Args:
        model: A compiled model. Its `test_step` is compiled once, for all datasets that are evaluated.
        check: Called every few batches; it may raise an error.
    """

    def __init__(self, model: VAE, check: Callable[[], None] = lambda: None) -> None:
        self._model = model
        self._check = check
        self._runner = StepRunner(model, model.test_step)

    def __call__(self, batches: tf.data.Dataset, num_batches: int) -> dict[str, float]:
        """Returns the metrics, by name.

        Args:
            batches: At least one pass over the data.
            num_batches: Number of batches in one pass.
        """
        self._model.reset_evaluation_noise()
        self._model.reset_metrics()
        metrics: dict[str, float] = {}
        for _, means in self._runner.run(iter(batches), 0, num_batches):
            metrics = {name: value for name, value in means.items() if name not in self._model.training_only_metrics}
            self._check()
        return metrics
