"""The training loop of the command, over `VAE.train_step`.

`keras.Model.fit` would do but for three things: of the steps that it runs in one call, those of an epoch must be a
multiple; it can't begin in the middle of an epoch; and it fails where TensorFlow's strategies span several machines.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.distribute.strategy import are_several_workers
from vae_tf.model.vae import VAE
from vae_tf.training.optimizer import averaged_weights, finish

# Long enough for the cost of a call to vanish, short enough for a progress bar and an answer to Ctrl-C.
SECONDS_PER_CALL = 0.25


class Steps:
    """Runs a step of a model many times in one call of TensorFlow.

    The number of steps in a call doubles until a call takes about `SECONDS_PER_CALL`; what is computed does not
    depend on it. Several workers run one step in each.

    Args:
        model: A compiled model.
        step: A `GuardedStep`, or the model's `test_step`.
        may_continue: Returns whether there may be another step in a call, a bool scalar; by default there always may.
    """

    def __init__(
        self, model: VAE, step: Callable[[Any], Any], may_continue: Callable[[], tf.Tensor] = lambda: tf.constant(True)
    ) -> None:
        self._steps_per_call = 1
        # Workers must run the same number of steps in a call, which their clocks would not give.
        self._may_grow = not are_several_workers(model.distribute_strategy)
        self._call = _compiled(model, step, may_continue)

    def run(
        self, batches: Any, first: int, last: int, every: int | None = None
    ) -> Iterator[tuple[int, dict[str, float]]]:
        """Runs steps and yields, after every call, how many are done and the model's running means.

        Args:
            batches: Iterator of a dataset, or of a strategy's distributed one.
            first: Steps that are done already; where there is none left to do, there is one call all the same.
            last: Steps that are to be done in the end.
            every: A call ends wherever a multiple of it is done.
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

    @tf.function(reduce_retracing=True, autograph=False)  # which takes its time to find nothing to convert
    def several(batches: Any, count: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        def one(done: tf.Tensor) -> tuple[tf.Tensor]:
            strategy.run(step, (next(batches),))
            return (done + 1,)

        (done,) = tf.while_loop(lambda done: (done < count) & may_continue(), one, (tf.constant(0),))
        # Where no step counted, Keras would have it 0.
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
    """Trains a compiled model, with Keras's callbacks called as `fit` does.

    Where the optimizer averages the weights, `validate` sees the averages, and the model has them in the end;
    callbacks see what is trained.

    Args:
        model: The model; where training does not begin, with everything as it was after the step `start`.
        batches: Endless; the first is that of the first step to be done.
        epochs: How often to run `steps_per_epoch` steps.
        steps_per_epoch: Batches in an epoch.
        guard: The step; one of the callbacks must look after the updates that it does not make.
        start: Steps that are done already. Where that is an epoch, what follows its last step is done anew.
        every: Callbacks are called wherever a multiple of so many steps is done, beside other places.
        validate: Returns what is measured after each epoch; logged as `val_*`.
        callbacks: `on_train_batch_end` is called after several steps, with the number of the last of them.
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
    """Returns the epoch, from 0, that a step belongs to which was the latest: its last one does not begin the next."""
    return max(step - 1, 0) // steps_per_epoch


def evaluator(
    model: VAE, batches: tf.data.Dataset, num_batches: int, check: Callable[[], None] = lambda: None
) -> Callable[[], dict[str, float]]:
    """Returns a function that does what `model.evaluate(batches, return_dict=True)` does.

    Args:
        model: A compiled model.
        batches: One pass.
        num_batches: How many there are.
        check: Called after some batches each; may raise.
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
