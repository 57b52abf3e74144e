"""A Keras model whose training step skips non-finite updates."""

from typing import Any

import keras

from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.support.errors import InputError


class GuardedModel(keras.Model):
    """A Keras model whose training step skips non-finite updates, and whose `fit` stops after too many of them.

    A subclass creates `trackers` and defines `gradients` and `test_step`.

    Args:
        **kwargs: Passed to `keras.Model`.

    Attributes:
        guard: The guarded training step; `None` until it is set or the first step creates it.
        trackers: Running means of the losses over the epoch, by name; the total loss comes first.
    """

    trackers: dict[str, keras.metrics.Mean]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.guard: GuardedStep | None = None

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means of the epoch; Keras resets them at the start of each epoch."""
        return list(self.trackers.values())

    def gradients(self, data: Any) -> list[keras.KerasTensor]:
        """Returns the gradients of a batch's mean loss, summed over all replicas, and tracks the losses.

        Args:
            data: A batch, as `fit` passes it.

        Returns:
            One gradient for each of `trainable_weights`, multiplied by the optimizer's loss scale.
        """
        raise NotImplementedError

    def train_step(self, data: Any) -> dict[str, keras.KerasTensor]:
        """Updates the weights on a batch, unless the update is non-finite; returns the running means."""
        self.guarded_step(data)
        return self._means()

    def guarded_step(self, data: Any) -> None:
        """Updates the weights on a batch, unless the update is non-finite."""
        if self.guard is None:
            self.guard = GuardedStep(self)
        self.guard(data)

    def make_train_function(self, force: bool = False) -> Any:
        """Creates the train function; creates the guard first, because its variables must exist before tracing."""
        if self.guard is None or force:
            self.guard = GuardedStep(self)
        return super().make_train_function(force)

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Like `keras.Model.compile`, but without losses and metrics, which the model computes itself.

        Raises:
            InputError: `loss`, `loss_weights`, `metrics` or `weighted_metrics` is set.
        """
        _refuse(loss=loss, loss_weights=loss_weights, metrics=metrics, weighted_metrics=weighted_metrics)
        super().compile(optimizer, None, None, None, None, *args, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles a loaded model as it was compiled; Keras does not do this if `compile` is overridden."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def check_data(self, x: Any, y: Any = None) -> None:
        """Checks arrays before the first step; datasets and generators are not read.

        Args:
            x: The data, as `fit` takes it.
            y: The target, as `fit` takes it.

        Raises:
            InputError: The model can't be trained or evaluated on the arrays.
        """

    def check_latest_batch(self) -> None:
        """Checks the values of the latest batch, after its step.

        Raises:
            InputError: The model can't be trained or evaluated on the batch.
        """

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Like `keras.Model.fit`, but checks the data, and stops after ten consecutive non-finite updates.

        Raises:
            InputError: The model can't be trained on the data, or training diverged.
        """
        _refuse(class_weight=class_weight, sample_weight=sample_weight)
        self.check_data(x, y)
        if validation_data is not None:
            val_x, val_y, val_weight = keras.utils.unpack_x_y_sample_weight(validation_data)
            _refuse(sample_weight=val_weight)
            self.check_data(val_x, val_y)
        given = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else list(callbacks or [])
        return super().fit(
            x,
            y,
            batch_size,
            epochs,
            verbose,
            [*given, StepChecker()],
            validation_split,
            validation_data,
            shuffle,
            None,
            None,
            *args,
            **kwargs,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Like `keras.Model.evaluate`, but checks the data.

        Raises:
            InputError: The model can't be evaluated on the data.
        """
        _refuse(sample_weight=sample_weight)
        self.check_data(x, y)
        if not isinstance(callbacks, keras.callbacks.CallbackList):  # `fit` passes its own list
            given = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else list(callbacks or [])
            callbacks = [*given, StepChecker()]
        return super().evaluate(x, y, batch_size, verbose, None, steps, callbacks, *args, **kwargs)

    def _track(self, values: dict[str, keras.KerasTensor]) -> None:
        """Adds one value per example `(B,)` to each mean, so that a short last batch gets the right weight."""
        for name, value in values.items():
            self.trackers[name].update_state(value)

    def _means(self) -> dict[str, keras.KerasTensor]:
        return {metric.name: metric.result() for metric in self.metrics}


class StepChecker(keras.callbacks.Callback):
    """Stops `fit` and `evaluate` at data that the model can't use, and `fit` after too many non-finite updates."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Checks the latest batch.

        Raises:
            InputError: The model can't be evaluated on the batch.
        """
        self.model.check_latest_batch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Checks the latest batch, and how many consecutive updates the guard has skipped.

        Raises:
            InputError: The model can't be trained on the batch, or too many consecutive updates were skipped.
        """
        self.model.check_latest_batch()
        skipped = self.model.guard.skipped
        if skipped.consecutive >= self.model.guard.max_consecutive_skips:
            losses = ", ".join(f"{name} {value:g}" for name, value in skipped.losses.items())
            raise InputError(
                f"Training diverged: losses or gradients were non-finite for {skipped.consecutive} consecutive steps, "
                f"the last with {losses}, gradient norm {skipped.gradient_norm:g}; lower the learning rate"
            )


def _refuse(**arguments: Any) -> None:
    """Raises an error if an argument is set that a model with its own loss would ignore."""
    for name, value in arguments.items():
        if value is not None:
            raise InputError(
                f"{name} is not supported, because the model computes its own loss. "
                f"Received: {name}={type(value).__name__}; omit {name}"
            )
