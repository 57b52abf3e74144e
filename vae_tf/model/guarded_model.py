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

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Like `keras.Model.fit`, but stops after ten consecutive non-finite updates.

        Raises:
            InputError: Training diverged.
        """
        given = [callbacks] if isinstance(callbacks, keras.callbacks.Callback) else list(callbacks or [])
        return super().fit(x, y, batch_size, epochs, verbose, [*given, StopFitOnDivergence()], *args, **kwargs)

    def _track(self, values: dict[str, keras.KerasTensor]) -> None:
        """Adds one value per example `(B,)` to each mean, so that a short last batch gets the right weight."""
        for name, value in values.items():
            self.trackers[name].update_state(value)

    def _means(self) -> dict[str, keras.KerasTensor]:
        return {metric.name: metric.result() for metric in self.metrics}


class StopFitOnDivergence(keras.callbacks.Callback):
    """Stops `fit` after too many consecutive non-finite updates."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Checks how many consecutive updates the guard has skipped.

        Raises:
            InputError: Too many consecutive updates were skipped.
        """
        skipped = self.model.guard.skipped
        if skipped.consecutive >= self.model.guard.max_consecutive_skips:
            losses = ", ".join(f"{name} {value:g}" for name, value in skipped.losses.items())
            raise InputError(
                f"Training diverged: losses or gradients were non-finite for {skipped.consecutive} consecutive steps, "
                f"the last with {losses}, gradient norm {skipped.gradient_norm:g}; lower the learning rate"
            )
