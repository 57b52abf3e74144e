"""Derives the options of a run's config from a model that the user built in Python."""

import math
from typing import Any

import keras

from vae_tf import registry
from vae_tf.config import RunConfig
from vae_tf.config.parts import get_option_names
from vae_tf.data.loading import Splits
from vae_tf.model.latents.flat import FlatLatents
from vae_tf.model.layers import find_batch_normalization
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError


def describe_model(model: VAE, config: RunConfig, splits: Splits) -> RunConfig:
    """Returns the config of a run that trains a given model: the options of its parts are those of the model.

    Args:
        model: A built model. Its encoder and decoder may be any Keras models: `arch` is `"custom"` in the config.
        config: The config, whose options of data and training are kept.
        splits: The run's data.

    Raises:
        InputError: The model does not match the data, or one of its parts is not in the registry.
    """
    _check_matches_data(model, splits)
    objective = model.objective
    normalization = [*find_batch_normalization(model.encoder), *find_batch_normalization(model.decoder)]
    options: dict[str, Any] = {
        "arch": registry.CUSTOM,
        "variant": "bn" if normalization else "plain",
        "latent_dim": model.latents.latent_dim,
        "precision": model.dtype_policy.name,
        "beta": objective.beta,
        "kl_schedule": objective.kl_schedule,
        "kl_warmup_epochs": _to_epochs(objective.kl_warmup_steps, config, splits),
        **_describe_part("latents", model.latents),
        **_describe_part("likelihood", model.likelihood),
        **_describe_part("objective", objective),
    }
    if normalization:
        options["batch_norm_momentum"] = normalization[0].momentum
    if isinstance(model.latents, FlatLatents):
        options |= _describe_part("posterior", model.posterior) | _describe_part("prior", model.prior)
    return RunConfig(**RunConfig.merge(config.model_dump(), options))


def _check_matches_data(model: VAE, splits: Splits) -> None:
    spec = splits.spec
    if model.example_shape != spec.example_shape:
        raise InputError(
            f"model must be for examples of the data's shape, {spec.example_shape}. Received: a model for "
            f"{model.example_shape}; set image_size and channels, or build another model"
        )
    if model.num_classes not in (None, spec.num_classes):
        raise InputError(
            f"model must be for the {spec.num_classes} classes of the data. Received: num_classes={model.num_classes}"
        )


def _to_epochs(steps: int | None, config: RunConfig, splits: Splits) -> float | None:
    return None if steps is None else steps / math.ceil(splits.spec.num_train / config.batch_size)


def _describe_part(kind: str, part: keras.layers.Layer) -> dict[str, Any]:
    """Returns the name of a part, and the values of its options."""
    name = next((name for name, target in registry.PARTS[kind].items() if _creates(target, part)), None)
    if name is None:
        raise InputError(
            f"The model's {kind} must be registered, so that the run folder can name it. Received: "
            f"{type(part).__name__}; call vae_tf.register({kind!r}, name, 'module:{type(part).__name__}') first"
        )
    arguments = part.get_config()
    options = {option: arguments[option.removeprefix(f"{kind}_")] for option in get_option_names(kind, name)}
    return {kind: name, **options}


def _creates(target: str, part: keras.layers.Layer) -> bool:
    """Returns whether a target of the registry creates parts of this class; that of latents is a function."""
    created = registry.resolve(target)
    return type(part) is created or (not isinstance(created, type) and created.__module__ == type(part).__module__)
