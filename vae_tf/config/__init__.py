"""Typed options: everything a user can set, validated, and read from and written to YAML.

A `RunConfig` is flat, so a key in a YAML file has the same name as the option on the command line. It is composed of
base classes, so a function can ask for only the options it needs: `def load(config: DataConfig)`.
"""

from vae_tf.config.base import LARGEST_COUNT, LARGEST_SEED, Config, Seed, UserPath
from vae_tf.config.data import SMALLEST_SIDE, DataConfig
from vae_tf.config.model import ModelConfig, Variant
from vae_tf.config.parts import DEFAULT_HIDDEN_SIZES, DenseOptions, PartOptions
from vae_tf.config.training import TOY_DEFAULTS, CheckpointConfig, RunConfig

__all__ = [
    "DEFAULT_HIDDEN_SIZES",
    "LARGEST_COUNT",
    "LARGEST_SEED",
    "SMALLEST_SIDE",
    "TOY_DEFAULTS",
    "CheckpointConfig",
    "Config",
    "DataConfig",
    "DenseOptions",
    "ModelConfig",
    "PartOptions",
    "RunConfig",
    "Seed",
    "UserPath",
    "Variant",
]
