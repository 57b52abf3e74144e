"""A run in memory: its stages and the state of training, from the first step or a checkpoint to the test set."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data import pipeline
from vae_tf.data.catalog import Splits
from vae_tf.distribute.strategy import any_worker, distributed, from_chief, is_multi_worker
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.training import loop
from vae_tf.training.checkpoint.state import Arrays, TrainingState
from vae_tf.training.checkpoint.store import CheckpointStore
from vae_tf.training.checkpoint.writer import CheckpointWriter
from vae_tf.training.divergence import DivergenceCallback, check_end
from vae_tf.training.interruption import Interruption
from vae_tf.training.optimizer import num_updates
from vae_tf.training.stage import Stage, evaluation_batches


class Trainer:
    """Trains the stages of a run, one after the other.

    Steps are counted across all stages.

    Args:
        config: The run's config, resolved.
        splits: The run's data.
        strategy: The run's strategy.
        stages: At least one stage; the first trains the VAE.
    """

    def __init__(
        self, config: RunConfig, splits: Splits, strategy: tf.distribute.Strategy, stages: Sequence[Stage]
    ) -> None:
        self._config = config
        self._splits = splits
        self._strategy = strategy
        self._start = 0
        self._saved: tuple[int, Arrays] | None = None
        self.stages = stages
        self._state = TrainingState(stages)

    @property
    def model(self) -> VAE:
        """The VAE."""
        return self.stages[0].model

    @property
    def num_steps(self) -> int:
        """Number of training steps in all stages."""
        return sum(stage.num_steps for stage in self.stages)

    def resume(self, step: int, arrays: Arrays | None) -> None:
        """Restores the state of training, to resume from it.

        Args:
            step: Number of steps done.
            arrays: The arrays of the checkpoint after that step; with several workers, only the chief has them.
        """
        self._start = step
        self._saved = step, from_chief(self._strategy, arrays, self._state.capture())
        self._state.restore(self._saved[1])

    def train(
        self,
        listeners: Callable[[Stage], Sequence[keras.callbacks.Callback]],
        store: CheckpointStore | None,
        describe: Callable[[], dict[str, Any]],
        options: CheckpointConfig,
    ) -> dict[str, float]:
        """Trains to the last epoch, saving the state on the way, and returns the metrics on the test set.

        Args:
            listeners: Function that returns the callbacks of a stage.
            store: Where to save; `None` on a worker that does not save.
            describe: Function that returns what to save with the state.
            options: When to save.

        Raises:
            InputError: Training diverged.
            Interrupted: A signal was received.
            OSError: The disk is too full to save.
        """
        # The clocks of several workers do not agree.
        minutes = None if is_multi_worker(self._strategy) else options.checkpoint_minutes
        with Interruption() as interruption:
            writer = CheckpointWriter(
                self._state,
                store,
                interruption,
                describe,
                any_worker(self._strategy),
                every=options.checkpoint_steps,
                minutes=minutes,
                saved=self._saved,
            )
            try:
                with writer:
                    for stage in self.stages:
                        self._train_stage(stage, listeners(stage), writer, interruption, options)
                        writer.steps_before += stage.num_steps
                    test = self._test(interruption)
            except Interrupted as stop:
                raise Interrupted(stop.number, self._message(stop, writer, store)) from None
        self._check_end(test)
        return test

    def _train_stage(
        self,
        stage: Stage,
        listeners: Sequence[keras.callbacks.Callback],
        writer: CheckpointWriter,
        interruption: Interruption,
        options: CheckpointConfig,
    ) -> None:
        start = max(0, self._start - writer.steps_before)
        if start > stage.num_steps:  # a later stage is resumed: this one has its final weights
            return
        guard = DivergenceCallback(stage.guard, self._config, writer.roll_back)
        loop.train(
            stage.model,
            distributed(self._strategy, lambda share: stage.training_batches(share, start)),
            epochs=stage.epochs,
            steps_per_epoch=stage.steps_per_epoch,
            guard=stage.guard,
            start=start,
            every=options.checkpoint_steps,
            validate=self._validation(stage, interruption),
            callbacks=[guard, *listeners, writer],
        )

    def _validation(self, stage: Stage, interruption: Interruption) -> Callable[[], dict[str, float]] | None:
        if stage.validation_batches is None:
            return None
        return self._evaluator(stage.model, stage.validation_batches, stage.num_validation_batches, interruption)

    def _test(self, interruption: Interruption) -> dict[str, float]:
        batches = evaluation_batches(self._config, self._splits, "test", self._splits.test)
        num_batches = pipeline.num_batches(self._splits.test, self._config.batch_size)
        return self._evaluator(self.model, batches, num_batches, interruption)()

    def _evaluator(
        self,
        model: keras.Model,
        batches: Callable[[pipeline.Share], tf.data.Dataset],
        num_batches: int,
        interruption: Interruption,
    ) -> Callable[[], dict[str, float]]:
        # A worker must not leave the others in the middle of an evaluation.
        check = (lambda: None) if is_multi_worker(self._strategy) else interruption.check
        return loop.evaluator(model, distributed(self._strategy, batches), num_batches, check)

    def _message(self, stop: Interrupted, writer: CheckpointWriter, store: CheckpointStore | None) -> str:
        if store is None:
            return f"{stop}; start all workers again"
        if writer.saved_step is None:
            return f"{stop} before anything was saved"
        return (
            f"{stop}; what was done up to step {writer.saved_step:,} of {self.num_steps:,} is saved in {store.path}, "
            "and the same command with the same run_dir goes on from there"
        )

    def _check_end(self, test: dict[str, float]) -> None:
        config = self._config
        if not num_updates(self.model.optimizer):
            raise InputError(
                f"Training must update the weights. Received: precision={config.precision} and gradients that were not "
                "finite in any step; take more steps, in which the scale of the loss falls, or mixed_bfloat16"
            )
        check_end(self.model, test, config)
