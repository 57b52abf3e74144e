"""The parts that a config chooses, made with their options."""

from typing import Any

from vae_tf import registry
from vae_tf.config import ModelConfig
from vae_tf.model.network import Backbone


def chosen_part(kind: str, config: ModelConfig, **arguments: Any) -> Any:
    """Returns the part of a kind, as `"prior"`, that a config chooses.

    Args:
        kind: A key of `registry.PARTS`.
        config: Names the part and holds its options.
        **arguments: Further arguments of its constructor.
    """
    target = registry.PARTS[kind][getattr(config, kind)]
    return registry.resolve(target)(**arguments, **config.arguments(kind), name=kind)


def chosen_backbone(config: ModelConfig, example_shape: tuple[int, ...], num_classes: int | None) -> Backbone:
    """Returns the family of networks that a config chooses, for examples of a shape."""
    backbone = registry.resolve(registry.NETWORKS[config.arch])
    arguments = config.arguments("arch")
    made: Backbone = backbone(example_shape, batch_norm=config.variant == "bn", num_classes=num_classes, **arguments)
    return made
