"""Typed options: what a user can set, validated, read from and written to YAML.

A `RunConfig` is flat, so that a key in a YAML file and an option on the command line are the same word. Its parts are
base classes, so that a function names the part it needs: `def load(config: DataConfig)`.
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
