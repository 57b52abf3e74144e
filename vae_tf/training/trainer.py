"""Trains the stages of a run, from scratch or from a checkpoint, and evaluates the result on the test set."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data import pipeline
from vae_tf.data.loading import Splits
from vae_tf.distribute.strategy import broadcast_from_chief, distribute_dataset, is_multi_worker, make_any_worker_fn
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.training import loop
from vae_tf.training.checkpoint.state import Arrays, TrainingState
from vae_tf.training.checkpoint.store import CheckpointStore
from vae_tf.training.checkpoint.writer import CheckpointWriter
from vae_tf.training.divergence import DivergenceCallback, check_final_model
from vae_tf.training.interruption import SignalHandler
from vae_tf.training.optimizer import num_updates
from vae_tf.training.stage import Stage, evaluation_batches


class Trainer:
    """Trains the stages of a run, one after the other, and evaluates the VAE.

    Steps are counted across all stages.

    Args:
        config: The run's config, with all defaults filled in.
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
        self._resumed_from: tuple[int, Arrays] | None = None
        self.stages = stages
        self._any_worker = make_any_worker_fn(strategy)
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
        """Restores the state of training, so that `train` resumes from it.

        Args:
            step: Number of steps already completed.
            arrays: The arrays of the checkpoint of that step; with several workers, `None` except on the chief.
        """
        self._start = step
        arrays = broadcast_from_chief(self._strategy, arrays, self._state.capture())
        self._resumed_from = step, arrays
        self._state.restore(arrays)

    def train(
        self,
        make_callbacks: Callable[[Stage], Sequence[keras.callbacks.Callback]],
        store: CheckpointStore | None,
        get_progress: Callable[[], dict[str, Any]],
        options: CheckpointConfig,
        *,
        may_stop_early: bool = False,
    ) -> dict[str, float]:
        """Trains to the last epoch, saves checkpoints, and returns the metrics on the test set.

        Args:
            make_callbacks: Function that returns the callbacks of a stage.
            store: Where to save checkpoints; `None` on a worker that does not save.
            get_progress: Function that returns the progress to save with the arrays.
            options: The checkpoint options.
            may_stop_early: Whether a callback of the chief may stop training; all workers then check this after every
                call of several steps.

        Raises:
            InputError: Training diverged.
            Interrupted: A signal was received.
            OSError: The disk is full.
        """
        # The clocks of several workers do not agree.
        minutes = None if is_multi_worker(self._strategy) else options.checkpoint_minutes
        with SignalHandler() as signal_handler:
            writer = CheckpointWriter(
                self._state,
                store,
                signal_handler,
                get_progress,
                self._any_worker,
                save_every_steps=options.checkpoint_steps,
                save_every_minutes=minutes,
                last_saved=self._resumed_from,
            )
            # A worker must not leave the others in the middle of an evaluation.
            check = (lambda: None) if is_multi_worker(self._strategy) else signal_handler.check
            evaluators = [loop.Evaluator(stage.model, check) for stage in self.stages]
            try:
                with writer:
                    for stage, evaluate in zip(self.stages, evaluators, strict=True):
                        self._train_stage(stage, evaluate, make_callbacks(stage), writer, options, may_stop_early)
                        writer.steps_in_previous_stages += stage.num_steps
                    test = self._test(evaluators[0])
            except Interrupted as stop:
                raise Interrupted(stop.signal_number, self._message(stop, writer, store)) from None
        self._check_result(test)
        return test

    def _train_stage(
        self,
        stage: Stage,
        evaluate: loop.Evaluator,
        callbacks: Sequence[keras.callbacks.Callback],
        writer: CheckpointWriter,
        options: CheckpointConfig,
        may_stop_early: bool,
    ) -> None:
        start = max(0, self._start - writer.steps_in_previous_stages)
        if start > stage.num_steps:  # training resumes in a later stage; this one has its final weights
            return
        divergence = DivergenceCallback(stage.guard, self._config, writer.roll_back)
        loop.train(
            stage.model,
            distribute_dataset(self._strategy, lambda shard: stage.training_batches(shard, start)),
            epochs=stage.epochs,
            steps_per_epoch=stage.steps_per_epoch,
            guard=stage.guard,
            start=start,
            callback_every=options.checkpoint_steps,
            validate=self._make_validator(stage, evaluate),
            callbacks=[divergence, *callbacks, writer],
            any_worker=self._any_worker if may_stop_early else bool,
        )

    def _make_validator(self, stage: Stage, evaluate: loop.Evaluator) -> Callable[[], dict[str, float]] | None:
        if stage.validation_batches is None:
            return None
        batches = distribute_dataset(self._strategy, stage.validation_batches)
        return lambda: evaluate(batches, stage.num_validation_batches)

    def _test(self, evaluate: loop.Evaluator) -> dict[str, float]:
        batches = evaluation_batches(self._config, self._splits, "test", self._splits.test)
        num_batches = pipeline.num_batches(self._splits.test, self._config.batch_size)
        return evaluate(distribute_dataset(self._strategy, batches), num_batches)

    def _message(self, stop: Interrupted, writer: CheckpointWriter, store: CheckpointStore | None) -> str:
        if store is None:
            return f"{stop}; restart all workers"
        if writer.saved_step is None:
            return f"{stop} before the first checkpoint"
        return (
            f"{stop}; {writer.saved_step:,} of {self.num_steps:,} steps are saved in {store.path}; "
            "rerun the command with the same run_dir to resume from there"
        )

    def _check_result(self, test: dict[str, float]) -> None:
        config = self._config
        if not num_updates(self.model.optimizer):
            raise InputError(
                "No update was made: the gradients were not finite at any step. "
                f"Received: precision={config.precision}; train for more steps, so that the loss scale can decrease, "
                "or use mixed_bfloat16"
            )
        check_final_model(self.model, test, config)
