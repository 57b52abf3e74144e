"""Creates the parts that a config chooses, with their options."""

from typing import Any

from vae_tf import registry
from vae_tf.config import ModelConfig
from vae_tf.model.network import Backbone


def chosen_part(kind: str, config: ModelConfig, **arguments: Any) -> Any:
    """Creates the part of a given kind, such as `"prior"`, that a config chooses.

    Args:
        kind: A key of `registry.PARTS`.
        config: Names the part and holds its options.
        **arguments: Additional arguments of its constructor.
    """
    target = registry.PARTS[kind][getattr(config, kind)]
    return registry.resolve(target)(**arguments, **config.arguments(kind), name=kind)


def chosen_backbone(config: ModelConfig, example_shape: tuple[int, ...], num_classes: int | None) -> Backbone:
    """Creates the backbone that a config chooses, for examples of the given shape."""
    backbone = registry.resolve(registry.NETWORKS[config.arch])
    arguments = config.arguments("arch")
    made: Backbone = backbone(example_shape, batch_norm=config.variant == "bn", num_classes=num_classes, **arguments)
    return made
