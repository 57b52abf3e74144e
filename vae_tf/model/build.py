"""The one way to build a VAE by names."""

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras

from vae_tf import registry
from vae_tf.config import SMALLEST_SIDE, ModelConfig
from vae_tf.model.likelihood import Likelihood
from vae_tf.model.network import Backbone
from vae_tf.model.objective import BetaELBO
from vae_tf.model.posterior import DiagonalNormal
from vae_tf.model.prior import StandardNormal
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError


def build_vae(
    example_shape: tuple[int, ...],
    latent_dim: int = 128,
    arch: str = "conv",
    variant: str = "bn",
    likelihood: str = "bernoulli",
    *,
    hidden_sizes: Sequence[int] | None = None,
    activation: str | None = None,
    sigma: float | None = None,
    beta: float = 1.0,
    num_classes: int | None = None,
    seed: int = 0,
    dtype_policy: str | None = None,
) -> VAE:
    """Returns a built VAE with fresh weights; call `keras.utils.set_random_seed` first to fix them.

    Args:
        example_shape: Of pictures, `(height, width, channels)`, at least 8x8 pixels, 1 or 3 channels; of rows,
            `(features,)`, with `arch="dense"`.
        latent_dim: Number of latent dimensions.
        arch: `"conv"` or `"dense"`.
        variant: `"plain"` (alias `"v1"`) or `"bn"` (`"v2"`), with batch normalization.
        likelihood: `"bernoulli"`, `"gaussian"`, `"learned_gaussian"`, `"continuous_bernoulli"` or
            `"logistic_mixture"`.
        hidden_sizes: Units of the dense encoder's hidden layers; default `(512, 256)`.
        activation: Activation of the dense hidden layers; default `"relu"`.
        sigma: Standard deviation of the gaussian likelihood, where that of learned_gaussian begins; default 1.
        beta: Weight of the KL term in the training loss.
        num_classes: Number of classes of a conditional model.
        seed: Seed of the posterior noise.
        dtype_policy: Keras's name of one, as `"mixed_bfloat16"`; default the global one. The last layers and all
            losses are float32 in any case.

    Raises:
        InputError: An argument is out of range, unknown, or has no effect with the others.
    """
    config = ModelConfig(
        latent_dim=latent_dim,
        arch=arch,
        variant=variant,
        likelihood=likelihood,
        hidden_sizes=hidden_sizes,
        activation=activation,
        sigma=sigma,
        beta=beta,
    )
    return build_from_config(config, example_shape, seed, num_classes, dtype_policy)


def build_from_config(
    config: ModelConfig,
    example_shape: tuple[int, ...],
    seed: int,
    num_classes: int | None = None,
    dtype_policy: str | None = None,
) -> VAE:
    """Returns a built VAE with fresh weights for examples of `example_shape`; see `build_vae`.

    Raises:
        InputError: `example_shape` or `num_classes` is none that a VAE can have.
    """
    example_shape = _checked_example_shape(example_shape, config.arch)
    if num_classes is not None and not (isinstance(num_classes, int) and num_classes >= 1):
        raise InputError(f"num_classes must be a whole number of at least 1. Received: num_classes={num_classes}")
    with _global_dtype_policy(dtype_policy):
        vae = _composed(config, example_shape, seed, num_classes)
        vae.build((None, *example_shape))
    return vae


@contextmanager
def _global_dtype_policy(name: str | None) -> Iterator[None]:
    """Layers that name no policy take the global one, here another meanwhile."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _composed(config: ModelConfig, example_shape: tuple[int, ...], seed: int, num_classes: int | None) -> VAE:
    posterior = DiagonalNormal(name="posterior")
    likelihood = _likelihood(config)
    backbone = _backbone(config, example_shape, num_classes)
    return VAE(
        encoder=backbone.encoder(posterior.params_size(config.latent_dim)),
        decoder=backbone.decoder(config.latent_dim, likelihood.params_size(example_shape[-1])),
        posterior=posterior,
        prior=StandardNormal(config.latent_dim, name="prior"),
        likelihood=likelihood,
        objective=BetaELBO(config.beta, name="objective"),
        seed=seed,
        num_classes=num_classes,
        name="vae",
    )


def _likelihood(config: ModelConfig) -> Likelihood:
    options = {} if config.sigma is None else {"sigma": config.sigma}
    return registry.resolve(registry.LIKELIHOODS[config.likelihood])(**options, name="likelihood")


def _backbone(config: ModelConfig, example_shape: tuple[int, ...], num_classes: int | None) -> Backbone:
    options = {"hidden_sizes": config.hidden_sizes, "activation": config.activation}
    given = {name: value for name, value in options.items() if value is not None}
    backbone = registry.resolve(registry.BACKBONES[config.arch])
    made: Backbone = backbone(example_shape, batch_norm=config.variant == "bn", num_classes=num_classes, **given)
    return made


def _checked_example_shape(example_shape: Sequence[int], arch: str) -> tuple[int, ...]:
    try:
        shape = tuple(map(operator.index, example_shape))
    except TypeError:
        shape = ()
    is_picture = len(shape) == 3 and min(shape[:2]) >= SMALLEST_SIDE and shape[2] in (1, 3)
    is_row = len(shape) == 1 and shape[0] >= 1
    if not (is_picture or is_row):
        raise InputError(
            f"example_shape must be (height, width, channels), at least {SMALLEST_SIDE} pixels a side "
            f"and 1 or 3 channels, or (features,). Received: example_shape={example_shape}"
        )
    if is_row and arch == "conv":
        raise InputError(f"arch=conv needs pictures. Received: example_shape={shape}; use dense")
    return shape
