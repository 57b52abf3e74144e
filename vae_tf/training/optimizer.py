"""The optimizer of a run: Adam with a learning rate schedule, clipped gradients and averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import keras
from keras import ops
from keras.optimizers import schedules

from vae_tf import registry
from vae_tf.backend.adam import Adam, inner_optimizer
from vae_tf.config import RunConfig
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError

LearningRate: TypeAlias = float | schedules.LearningRateSchedule
EXPONENTIAL_DECAY_RATE = 0.01


def build_optimizer(config: RunConfig, num_steps: int) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a run.

    Args:
        config: The run's config; `learning_rate`, `learning_rate_schedule`, `warmup_steps`, `clip_norm` and `ema` are
            used.
        num_steps: Total number of updates, which is the length of the schedule.

    Raises:
        InputError: The warm-up is not shorter than the run.
    """
    if (config.warmup_steps or 0) >= num_steps:
        raise InputError(
            f"warmup_steps must be less than the total number of updates. Received: "
            f"warmup_steps={config.warmup_steps}, {num_steps} updates; lower it, or train for more epochs"
        )
    schedule = registry.resolve(registry.LEARNING_RATE_SCHEDULES[config.learning_rate_schedule])
    averaging = {} if config.ema is None else {"use_ema": True, "ema_momentum": config.ema}
    return Adam(schedule(config, num_steps), global_clipnorm=config.clip_norm, **averaging)


def constant(config: RunConfig, num_steps: int) -> LearningRate:
    """Returns a constant learning rate."""
    return config.learning_rate


def linear(config: RunConfig, num_steps: int) -> LearningRate:
    """Returns a learning rate that decays linearly to 0."""
    return schedules.PolynomialDecay(config.learning_rate, num_steps, end_learning_rate=0.0)


def cosine(config: RunConfig, num_steps: int) -> LearningRate:
    """Returns a learning rate with cosine decay to 0 (Loshchilov & Hutter 2017, eq. 5), after any warm-up."""
    if config.warmup_steps is None:
        return schedules.CosineDecay(config.learning_rate, num_steps)
    return schedules.CosineDecay(
        0.0, num_steps - config.warmup_steps, warmup_target=config.learning_rate, warmup_steps=config.warmup_steps
    )


def exponential(config: RunConfig, num_steps: int) -> LearningRate:
    """Returns a learning rate that decays exponentially to a hundredth of its initial value."""
    return schedules.ExponentialDecay(config.learning_rate, num_steps, EXPONENTIAL_DECAY_RATE)


def num_updates(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns the number of updates, not counting those skipped because their gradients were not finite."""
    return int(ops.convert_to_numpy(inner_optimizer(optimizer).iterations))


def apply_averaged_weights(model: VAE) -> None:
    """Sets a model's weights to their averages, if its optimizer averages them."""
    if num_updates(model.optimizer):  # before the first update, the averages are zeros
        model.optimizer.finalize_variable_values(model.trainable_weights)


@contextmanager
def averaged_weights(model: VAE) -> Iterator[None]:
    """Temporarily replaces a model's weights with their averages, if there are any (Polyak & Juditsky 1992)."""
    weights = model.trainable_weights
    if not inner_optimizer(model.optimizer).use_ema:
        yield
        return
    trained = [ops.convert_to_numpy(weight) for weight in weights]
    apply_averaged_weights(model)
    try:
        yield
    finally:
        for weight, values in zip(weights, trained, strict=True):
            weight.assign(values)
