"""One run in memory: model, data and the state of training, from the first step or a checkpoint to the test split."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from vae_tf.backend.guarded_step import MOST_IN_A_ROW, GuardedStep
from vae_tf.config import CheckpointConfig, RunConfig
from vae_tf.data import pipeline
from vae_tf.data.catalog import Splits
from vae_tf.data.sources import Examples
from vae_tf.distribute.strategy import any_worker, are_several_workers, distributed, from_chief
from vae_tf.model.build import build_from_config
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.training import loop
from vae_tf.training.checkpoint.keeper import Keeper
from vae_tf.training.checkpoint.state import Arrays, TrainingState
from vae_tf.training.checkpoint.store import Store
from vae_tf.training.divergence import OnDivergence, check_end
from vae_tf.training.interruption import Interruption
from vae_tf.training.optimizer import build_optimizer, num_updates


class Trainer:
    """Trains a model.

    Args:
        config: The run, resolved.
        splits: Its data.
        strategy: What computes it.
    """

    def __init__(self, config: RunConfig, splits: Splits, strategy: tf.distribute.Strategy) -> None:
        self._config = config
        self._splits = splits
        self._strategy = strategy
        self._start = 0
        self._saved: tuple[int, Arrays] | None = None
        self.steps_per_epoch = pipeline.num_batches(splits.train, config.batch_size)
        with strategy.scope():
            self.model = _compiled_model(config, splits, self.steps_per_epoch)
        most = 1 if config.on_nan == "stop" else min(MOST_IN_A_ROW, self.steps_per_epoch)
        self._guard = self.model.guard = GuardedStep(self.model, most)
        self._state = TrainingState(self.model, self._guard)

    def go_on(self, step: int, arrays: Arrays | None) -> None:
        """Takes training to where it was.

        Args:
            step: Steps that are done.
            arrays: Of a checkpoint, after that step; of several workers the chief has them.
        """
        self._start = step
        self._saved = step, from_chief(self._strategy, arrays, self._state.capture())
        self._state.restore(self._saved[1])

    def train(
        self,
        listeners: Sequence[keras.callbacks.Callback],
        store: Store | None,
        describe: Callable[[], dict[str, Any]],
        options: CheckpointConfig,
    ) -> dict[str, float]:
        """Trains to the last epoch, saves the state meanwhile, and returns the metrics of the test split.

        Args:
            listeners: Callbacks.
            store: Where to save; `None` on a worker that does not.
            describe: Returns what to save beside the state.
            options: When to save.

        Raises:
            InputError: Training diverged.
            Interrupted: A signal came.
            OSError: There is no room to save.
        """
        # The clocks of workers do not agree.
        minutes = None if are_several_workers(self._strategy) else options.checkpoint_minutes
        with Interruption() as interruption:
            keeper = Keeper(
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
                with keeper:
                    test = self._trained(listeners, keeper, interruption, options)
            except Interrupted as stop:
                raise Interrupted(stop.number, self._told_of(stop, keeper, store)) from None
        self._check_end(test)
        return test

    def _trained(
        self,
        listeners: Sequence[keras.callbacks.Callback],
        keeper: Keeper,
        interruption: Interruption,
        options: CheckpointConfig,
    ) -> dict[str, float]:
        splits = self._splits
        loop.train(
            self.model,
            distributed(self._strategy, self._training_batches),
            epochs=self._config.epochs,
            steps_per_epoch=self.steps_per_epoch,
            guard=self._guard,
            start=self._start,
            every=options.checkpoint_steps,
            validate=None if splits.val is None else self._evaluator("val", splits.val, interruption),
            callbacks=[OnDivergence(self._guard, self._config, keeper.roll_back), *listeners, keeper],
        )
        return self._evaluator("test", splits.test, interruption)()

    def _told_of(self, stop: Interrupted, keeper: Keeper, store: Store | None) -> str:
        if store is None:
            return f"{stop}; start all workers again"
        if keeper.saved_step is None:
            return f"{stop} before anything was saved"
        total = self._config.epochs * self.steps_per_epoch
        return (
            f"{stop}; what was done up to step {keeper.saved_step:,} of {total:,} is saved in {store.path}, and the "
            "same command with the same run_dir goes on from there"
        )

    def _training_batches(self, share: pipeline.Share) -> tf.data.Dataset:
        shape = self._splits.spec.example_shape
        return pipeline.training_batches(self._splits.train, self._config, shape, share, self._start)

    def _evaluator(
        self, split: pipeline.Split, examples: Examples, interruption: Interruption
    ) -> Callable[[], dict[str, float]]:
        shape = self._splits.spec.example_shape
        batches = distributed(
            self._strategy, lambda share: pipeline.evaluation_batches(examples, self._config, shape, split, share)
        )
        num_batches = pipeline.num_batches(examples, self._config.batch_size)
        # One of several workers may not leave the others in the middle of an evaluation.
        check = (lambda: None) if are_several_workers(self._strategy) else interruption.check
        return loop.evaluator(self.model, batches, num_batches, check)

    def _check_end(self, test: dict[str, float]) -> None:
        config = self._config
        if not num_updates(self.model.optimizer):
            raise InputError(
                f"Training must update the weights. Received: precision={config.precision} and gradients that were not "
                "finite in any step; take more steps, in which the scale of the loss falls, or mixed_bfloat16"
            )
        check_end(self.model, test, config)


def _compiled_model(config: RunConfig, splits: Splits, steps_per_epoch: int) -> VAE:
    keras.utils.set_random_seed(config.seed)
    spec = splits.spec
    num_classes = spec.num_classes if config.conditional else None
    warmup = None if config.kl_warmup_epochs is None else max(1, round(config.kl_warmup_epochs * steps_per_epoch))
    model = build_from_config(config, spec.example_shape, config.seed, num_classes, config.precision, warmup)
    model.micro_batch_size = config.micro_batch_size
    model.compile(build_optimizer(config, config.epochs * steps_per_epoch), jit_compile=config.jit)
    return model
