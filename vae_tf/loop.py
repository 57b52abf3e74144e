"""The training loop of the command, over `VAE.train_step`.

`keras.Model.fit` would do but for three things: of the steps that it runs in one call, those of an epoch must be a
multiple; it can't begin in the middle of an epoch; and it fails where TensorFlow's strategies span several machines.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from vae_tf.model.vae import VAE
from vae_tf.optimizer import averaged_weights, finish

# Long enough for the cost of a call to vanish, short enough for a progress bar and an answer to Ctrl-C.
SECONDS_PER_CALL = 0.25


class Steps:
    """Runs a step of a model many times in one call of TensorFlow.

    The number of steps in a call doubles until a call takes about `SECONDS_PER_CALL`; what is computed does not
    depend on it. Several workers run one step in each.

    Args:
        model: A compiled model.
        step: Its `train_step` or `test_step`.
    """

    def __init__(self, model: VAE, step: Callable[[Any], Any]) -> None:
        self._steps_per_call = 1
        # Workers must run the same number of steps in a call, which their clocks would not give.
        self._may_grow = not isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self._call = _compiled(model, step)

    def run(self, batches: Any, num_steps: int) -> Iterator[tuple[int, dict[str, float]]]:
        """Runs `num_steps` steps and yields, after every call, how many are done and the model's running means.

        Args:
            batches: Iterator of a dataset, or of a strategy's distributed one.
            num_steps: Steps to run.
        """
        done = 0
        while done < num_steps:
            count, began = min(self._steps_per_call, num_steps - done), time.perf_counter()
            logs = {name: float(value) for name, value in self._call(batches, tf.constant(count)).items()}
            if self._may_grow and count == self._steps_per_call and time.perf_counter() - began < SECONDS_PER_CALL / 2:
                self._steps_per_call *= 2
            done += count
            yield done, logs


def _compiled(model: VAE, step: Callable[[Any], Any]) -> Callable[[Any, tf.Tensor], dict[str, tf.Tensor]]:
    strategy = model.distribute_strategy
    if model.jit_compile:
        step = tf.function(step, jit_compile=True, reduce_retracing=True, autograph=False)

    @tf.function(reduce_retracing=True, autograph=False)  # which takes its time to find nothing to convert
    def several(batches: Any, count: tf.Tensor) -> dict[str, tf.Tensor]:
        def one(done: tf.Tensor) -> tuple[tf.Tensor]:
            strategy.run(step, (next(batches),))
            return (done + 1,)

        tf.while_loop(lambda done: done < count, one, (tf.constant(0),))
        return {metric.name: metric.result() for metric in model.metrics}

    return several


def train(
    model: VAE,
    batches: tf.data.Dataset,
    *,
    epochs: int,
    steps_per_epoch: int,
    validate: Callable[[], dict[str, float]] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Trains a compiled model, with Keras's callbacks called as `fit` does.

    Where the optimizer averages the weights, `validate` sees the averages, and the model has them in the end;
    callbacks see what is trained.

    Args:
        model: The model.
        batches: Endless.
        epochs: How often to run `steps_per_epoch` steps.
        steps_per_epoch: Batches in an epoch.
        validate: Returns what is measured after each epoch; logged as `val_*`.
        callbacks: `on_train_batch_end` is called after several steps, with the number of the last of them.
    """
    if not model.optimizer.built:  # before a step is traced, for which the scale of the loss would be a constant
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_weights)
    listeners = keras.callbacks.CallbackList(list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch)
    steps, iterator = Steps(model, model.train_step), iter(batches)
    listeners.on_train_begin()
    for epoch in range(epochs):
        model.reset_metrics()
        listeners.on_epoch_begin(epoch)
        logs: dict[str, float] = {}
        for done, logs in steps.run(iterator, steps_per_epoch):
            listeners.on_train_batch_end(done - 1, logs)
        with averaged_weights(model):
            measured = validate() if validate else {}
        listeners.on_epoch_end(epoch, {**logs, **{f"val_{name}": value for name, value in measured.items()}})
    finish(model)
    listeners.on_train_end()


def evaluator(model: VAE, batches: tf.data.Dataset, num_batches: int) -> Callable[[], dict[str, float]]:
    """Returns a function that does what `model.evaluate(batches, return_dict=True)` does.

    Args:
        model: A compiled model.
        batches: One pass.
        num_batches: How many there are.
    """
    steps = Steps(model, model.test_step)

    def evaluate() -> dict[str, float]:
        model.reset_evaluation_noise()
        model.reset_metrics()
        *_, (_, logs) = steps.run(iter(batches), num_batches)
        return logs

    return evaluate
