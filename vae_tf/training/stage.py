"""The stages of a run. Each stage trains one model, with its own data and number of epochs."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from vae_tf.backend.guarded_step import MAX_CONSECUTIVE_SKIPS, GuardedStep
from vae_tf.config import RunConfig
from vae_tf.data import pipeline
from vae_tf.data.loading import Splits
from vae_tf.data.sources import ExampleSource
from vae_tf.model.build import build_from_config
from vae_tf.model.vae import VAE
from vae_tf.training.optimizer import build_optimizer

VAE_STAGE = "vae"


class Stage(NamedTuple):
    """One stage of training.

    Resuming, averaged weights, schedules, precision and replicas work the same way for every stage.

    Attributes:
        name: Name in the `stage` column of `history.csv`, if the run has several stages.
        model: A compiled model with `gradients(data)`, `test_step(data)` and a `step_counter`.
        guard: The guarded training step.
        epochs: Passes over the training set.
        steps_per_epoch: Batches per epoch.
        training_batches: Function (shard of a worker, start step) -> infinite dataset of batches.
        validation_batches: Function (shard) -> one pass over the validation set; `None` if there is no validation set.
        num_validation_batches: Batches in that pass.
    """

    name: str
    model: keras.Model
    guard: GuardedStep
    epochs: int
    steps_per_epoch: int
    training_batches: Callable[[pipeline.Shard, int], tf.data.Dataset]
    validation_batches: Callable[[pipeline.Shard], tf.data.Dataset] | None = None
    num_validation_batches: int = 0

    @property
    def num_steps(self) -> int:
        """Number of training steps in all epochs."""
        return self.epochs * self.steps_per_epoch


def vae_stage(config: RunConfig, splits: Splits, strategy: tf.distribute.Strategy, model: VAE | None = None) -> Stage:
    """Returns the stage that trains the VAE, the first stage of every run.

    Args:
        config: The run's config, with all defaults filled in.
        splits: The run's data.
        strategy: The run's strategy.
        model: The model to train. By default the config describes a new one.
    """
    shape = splits.spec.example_shape
    steps_per_epoch = pipeline.num_batches(splits.train, config.batch_size)
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
        model = model or _build_vae(config, splits, steps_per_epoch)
        model.step_counter.reset()  # the user may have trained it before
        model.micro_batch_size = config.micro_batch_size
        model.compile(build_optimizer(config, config.epochs * steps_per_epoch), jit_compile=config.jit)
    max_consecutive_skips = 1 if config.on_nan == "stop" else min(MAX_CONSECUTIVE_SKIPS, steps_per_epoch)
    model.guard = GuardedStep(model, max_consecutive_skips)
    return Stage(
        VAE_STAGE,
        model,
        model.guard,
        config.epochs,
        steps_per_epoch,
        lambda shard, start: pipeline.training_batches(splits.train, config, shape, shard, start),
        None if splits.val is None else evaluation_batches(config, splits, "val", splits.val),
        0 if splits.val is None else pipeline.num_batches(splits.val, config.batch_size),
    )


def evaluation_batches(
    config: RunConfig, splits: Splits, split: pipeline.Split, examples: ExampleSource
) -> Callable[[pipeline.Shard], tf.data.Dataset]:
    """Returns a function that maps the shard of a worker to one pass over a split."""
    shape = splits.spec.example_shape
    return lambda shard: pipeline.evaluation_batches(examples, config, shape, split, shard)


def _build_vae(config: RunConfig, splits: Splits, steps_per_epoch: int) -> VAE:
    spec = splits.spec
    num_classes = spec.num_classes if config.conditional else None
    warmup = None if config.kl_warmup_epochs is None else max(1, round(config.kl_warmup_epochs * steps_per_epoch))
    return build_from_config(config, spec.example_shape, config.seed, num_classes, config.precision, warmup)
