"""Builds a VAE from the names of its parts."""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from vae_tf import registry
from vae_tf.config import MIN_IMAGE_SIZE, ModelConfig
from vae_tf.config.model import DEFAULT_MOMENTUM
from vae_tf.model.checks import check_integer
from vae_tf.model.factory import create_part
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError


def build_vae(
    example_shape: tuple[int, ...],
    latent_dim: int = 128,
    arch: str = "conv",
    variant: str = "bn",
    likelihood: str = "bernoulli",
    *,
    batch_norm_momentum: float = DEFAULT_MOMENTUM,
    latents: str = "flat",
    prior: str = "standard_normal",
    objective: str = "elbo",
    beta: float = 1.0,
    kl_schedule: str = "constant",
    kl_warmup_steps: int | None = None,
    num_classes: int | None = None,
    seed: int = 0,
    dtype_policy: str | None = None,
    **options: Any,
) -> VAE:
    """Returns a built VAE with newly initialized weights.

    Call `keras.utils.set_random_seed` first to make the weights reproducible.

    Args:
        example_shape: `(height, width, channels)` for images, at least 8x8 pixels with 1 or 3 channels; `(features,)`
            for rows, which need `arch="dense"`.
        latent_dim: Number of latent dimensions.
        arch: `"conv"` or `"dense"`.
        variant: `"plain"` (alias `"v1"`), or `"bn"` (alias `"v2"`) with batch normalization.
        batch_norm_momentum: Momentum of the moving averages of batch normalization.
        likelihood: `"bernoulli"`, `"gaussian"`, `"learned_gaussian"`, `"continuous_bernoulli"` or
            `"logistic_mixture"`.
        latents: The latent model, a name in `vae_tf.registry.LATENTS`.
        prior: The prior distribution of the latents, a name in `vae_tf.registry.PRIORS`.
        objective: The training objective, a name in `vae_tf.registry.OBJECTIVES`.
        beta: Weight of the KL term in the training loss.
        kl_schedule: Schedule of the KL weight: `"constant"`, or `"linear"` or `"cyclical"`, which raise it from 0 to
            beta.
        kl_warmup_steps: Training steps over which the KL weight rises; required with `"linear"` and `"cyclical"`.
        num_classes: Number of classes of a conditional model.
        seed: Random seed for the posterior noise.
        dtype_policy: A Keras dtype policy, such as `"mixed_bfloat16"`; by default the global policy. The output layers
            and all losses are always float32.
        **options: Options of the chosen parts (`vae_tf.config.parts`), such as `hidden_sizes`, `activation`, `sigma`.

    Raises:
        InputError: An argument is unknown, out of range, or has no effect in combination with the others.

    Example:
        >>> vae = vae_tf.build_vae((28, 28, 1), latent_dim=16, arch="dense", hidden_sizes=(256, 128))
        >>> vae.encoder.count_params()
        242464
    """
    config = ModelConfig(
        latent_dim=latent_dim,
        arch=arch,
        variant=variant,
        batch_norm_momentum=batch_norm_momentum,
        likelihood=likelihood,
        latents=latents,
        prior=prior,
        objective=objective,
        beta=beta,
        kl_schedule=kl_schedule,
        kl_warmup_epochs=kl_warmup_steps,  # only validated here: without epochs, the warm-up is given in steps
        **options,
    )
    return build_from_config(config, example_shape, seed, num_classes, dtype_policy, kl_warmup_steps)


def build_from_config(
    config: ModelConfig,
    example_shape: tuple[int, ...],
    seed: int,
    num_classes: int | None = None,
    dtype_policy: str | None = None,
    kl_warmup_steps: int | None = None,
) -> VAE:
    """Returns a built VAE with newly initialized weights for examples of `example_shape`; see `build_vae`.

    Raises:
        InputError: `example_shape`, `num_classes` or the dtype policy is invalid.
    """
    example_shape = _check_example_shape(example_shape, config.arch)
    if num_classes is not None:
        num_classes = check_integer("num_classes", num_classes, 1)
    with _global_dtype_policy(dtype_policy):
        vae = _compose_vae(config, example_shape, seed, num_classes, kl_warmup_steps)
        vae.build((None, *example_shape))
    return vae


@contextmanager
def _global_dtype_policy(name: str | None) -> Iterator[None]:
    """Temporarily sets the global dtype policy, which applies to layers without their own policy."""
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or previous_policy)
    try:
        policy = keras.config.dtype_policy()
        if policy.variable_dtype != "float32":
            raise InputError(
                "dtype_policy must keep the weights in float32, because the losses need its precision. "
                f"Received: dtype_policy={policy.name}; use float32, mixed_bfloat16 or mixed_float16"
            )
        yield
    finally:
        keras.config.set_dtype_policy(previous_policy)


def _compose_vae(
    config: ModelConfig, example_shape: tuple[int, ...], seed: int, num_classes: int | None, kl_warmup_steps: int | None
) -> VAE:
    likelihood = create_part("likelihood", config)
    latents = registry.resolve(registry.LATENTS[config.latents])(
        config, example_shape, num_classes, likelihood.params_size(example_shape[-1]), **config.arguments("latents")
    )
    objective = create_part(
        "objective", config, beta=config.beta, kl_schedule=config.kl_schedule, kl_warmup_steps=kl_warmup_steps
    )
    return VAE(latents, likelihood, objective, seed=seed, name="vae")


def _check_example_shape(example_shape: Sequence[int], arch: str) -> tuple[int, ...]:
    try:
        shape = tuple(map(operator.index, example_shape))
    except TypeError:
        shape = ()
    is_image = len(shape) == 3 and min(shape[:2]) >= MIN_IMAGE_SIZE and shape[2] in (1, 3)
    is_row = len(shape) == 1 and shape[0] >= 1
    if not (is_image or is_row):
        raise InputError(
            f"example_shape must be (height, width, channels), with at least {MIN_IMAGE_SIZE}x{MIN_IMAGE_SIZE} pixels "
            f"and 1 or 3 channels, or (features,). Received: example_shape={example_shape}"
        )
    if is_row and arch == "conv":
        raise InputError(f"arch=conv needs images. Received: example_shape={shape}; use arch=dense")
    return shape
