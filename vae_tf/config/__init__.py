"""Typed options: everything a user can set, with validation, and reading from and writing to YAML.

`RunConfig` is flat, so that a key in a YAML file has the same name as the option on the command line. It is composed of
base classes, so that a function can ask for just the options it needs: `def load(config: DataConfig)`.
"""

from vae_tf.config.base import MAX_COUNT, MAX_SEED, Config, Seed, UserPath
from vae_tf.config.data import MIN_IMAGE_SIZE, DataConfig
from vae_tf.config.model import ModelConfig, Variant
from vae_tf.config.parts import DEFAULT_HIDDEN_SIZES, DenseOptions, PartOptions
from vae_tf.config.training import TOY_DEFAULTS, CheckpointConfig, RunConfig

__all__ = [
    "DEFAULT_HIDDEN_SIZES",
    "MAX_COUNT",
    "MAX_SEED",
    "MIN_IMAGE_SIZE",
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
