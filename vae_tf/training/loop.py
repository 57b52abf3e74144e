"""The training loop of the command, built on `VAE.train_step`.

`keras.Model.fit` has three limits: the steps of an epoch must be a multiple of the steps it runs per call, it can't
start in the middle of an epoch, and it fails with TensorFlow's strategies for several machines.
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
from vae_tf.training.optimizer import averaged_weights, finish

# Long enough to make the cost of a call negligible, short enough for a progress bar and for Ctrl-C.
SECONDS_PER_CALL = 0.25


class Steps:
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
        self._call = _compiled(model, step, may_continue)

    def run(
        self, batches: Any, first: int, last: int, every: int | None = None
    ) -> Iterator[tuple[int, dict[str, float]]]:
        """Runs steps; after every call, yields how many steps are done and the model's running means.

        Args:
            batches: Iterator over a dataset, or over a strategy's distributed dataset.
            first: Number of steps done already. If none are left, there is one call anyway.
            last: Number of steps to be done at the end.
            every: If set, a call ends at every multiple of this number of steps.
        """
        done, is_over = first, False
        while not is_over:
            room = last - done if every is None else min(last - done, every - done % every)
            count, began = min(self._steps_per_call, room), time.perf_counter()
            made, means = self._call(batches, tf.constant(count))
            done += int(made)
            logs = {name: float(value) for name, value in means.items()}
            if self._may_grow and count == self._steps_per_call and time.perf_counter() - began < SECONDS_PER_CALL / 2:
                self._steps_per_call *= 2
            yield done, logs
            is_over = done == last


def _compiled(
    model: VAE, step: Callable[[Any], Any], may_continue: Callable[[], tf.Tensor]
) -> Callable[[Any, tf.Tensor], tuple[tf.Tensor, dict[str, tf.Tensor]]]:
    strategy = model.distribute_strategy
    if model.jit_compile:
        step = tf.function(step, jit_compile=True, reduce_retracing=True, autograph=False)

    @tf.function(reduce_retracing=True, autograph=False)  # autograph takes time and finds nothing to convert
    def several(batches: Any, count: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        def one(done: tf.Tensor) -> tuple[tf.Tensor]:
            strategy.run(step, (next(batches),))
            return (done + 1,)

        (done,) = tf.while_loop(lambda done: (done < count) & may_continue(), one, (tf.constant(0),))
        # If no step counted, Keras would report 0.
        means = {metric.name: tf.where(metric.count.value > 0, metric.result(), np.nan) for metric in model.metrics}
        return done, means

    return several


def train(
    model: VAE,
    batches: tf.data.Dataset,
    *,
    epochs: int,
    steps_per_epoch: int,
    guard: GuardedStep,
    start: int = 0,
    every: int | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a compiled model, and calls Keras's callbacks as `fit` does.

    If the optimizer averages the weights, `validate` sees the averages, and the model has them at the end; the
    callbacks see the weights being trained.

    Args:
        model: The model; if training resumes, in the state it had after step `start`.
        batches: Endless batches, starting with that of the first step to run.
        epochs: How many times to run `steps_per_epoch` steps.
        steps_per_epoch: Batches per epoch.
        guard: The guarded step; one of the callbacks must handle the updates it skips.
        start: Number of steps done already. If an epoch ends there, everything after its last step is done again.
        every: If set, the callbacks are also called at every multiple of this number of steps.
        validate: Function that returns what is measured after each epoch, logged as `val_*`.
        callbacks: Their `on_train_batch_end` is called after several steps, with the index of the last one.
    """
    listeners = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch)
    steps, iterator = Steps(model, guard, guard.may_continue), iter(batches)
    listeners.on_train_begin()
    for epoch in range(epoch_of(start, steps_per_epoch), epochs):
        first, last = max(start, epoch * steps_per_epoch), (epoch + 1) * steps_per_epoch
        if first == epoch * steps_per_epoch:
            model.reset_metrics()
        listeners.on_epoch_begin(epoch)
        logs: dict[str, float] = {}
        for done, logs in steps.run(iterator, first, last, every):
            listeners.on_train_batch_end(done - epoch * steps_per_epoch - 1, logs)
        with averaged_weights(model):
            measured = validate() if validate else {}
        listeners.on_epoch_end(epoch, {**logs, **{f"val_{name}": value for name, value in measured.items()}})
    finish(model)
    listeners.on_train_end()


def epoch_of(step: int, steps_per_epoch: int) -> int:
    """Returns the epoch, counted from 0, that the latest step belongs to.

    The last step of an epoch still belongs to it and does not begin the next one.
    """
    return max(step - 1, 0) // steps_per_epoch


def evaluator(
    model: VAE, batches: tf.data.Dataset, num_batches: int, check: Callable[[], None] = lambda: None
) -> Callable[[], dict[str, float]]:
    """Returns a function that does the same as `model.evaluate(batches, return_dict=True)`.

    Args:
        model: A compiled model.
        batches: One pass over the data.
        num_batches: Number of batches.
        check: Called every few batches; may raise.
    """
    steps = Steps(model, model.test_step)

    def evaluate() -> dict[str, float]:
        model.reset_evaluation_noise()
        model.reset_metrics()
        measured: dict[str, float] = {}
        for _, means in steps.run(iter(batches), 0, num_batches):
            measured = {name: value for name, value in means.items() if name not in model.training_only_metrics}
            check()
        return measured

    return evaluate
