"""Creates the parts selected by a config, with their options."""

from typing import Any

from vae_tf import registry
from vae_tf.config import ModelConfig
from vae_tf.model.network import Network
from vae_tf.support.errors import InputError


def create_part(kind: str, config: ModelConfig, **arguments: Any) -> Any:
    """Creates the part of a given kind, such as `"prior"`, that a config selects.

    Args:
        kind: A key of `registry.PARTS`.
        config: The config, which contains the name and the options of the part.
        **arguments: Additional arguments of the part's constructor.
    """
    target = registry.PARTS[kind][getattr(config, kind)]
    return registry.resolve(target)(**arguments, **config.arguments(kind), name=kind)


def create_network(config: ModelConfig, example_shape: tuple[int, ...], num_classes: int | None) -> Network:
    """Creates the network architecture selected by a config, for examples of the given shape.

    Raises:
        InputError: The config is that of a model that was built in Python.
    """
    if config.arch == registry.CUSTOM:
        raise InputError("arch=custom stands for a model that is built in Python; call vae_tf.train_run(model=...)")
    architecture = registry.resolve(registry.NETWORKS[config.arch])
    network: Network = architecture(
        example_shape,
        batch_norm=config.variant == "bn",
        batch_norm_momentum=config.batch_norm_momentum,
        num_classes=num_classes,
        **config.arguments("arch"),
    )
    return network
