"""What a model file may be made of, looked up before Keras makes anything of it.

Keras refuses lambdas and imports no foreign module in safe mode, but makes any layer of its own, and every class that
something else in the process has registered.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vae_tf.support.errors import InputError

MODEL_CLASS = "vae_tf>VAE"
PACKAGES = ("keras", "vae_tf")
RUNS_CODE = ("Lambda", "__lambda__", "function")
PLAIN_VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__")


def check_classes(path: Path) -> None:
    """Raises where a `.keras` file is not a VAE made of classes of this package and of Keras.

    Args:
        path: The file.

    Raises:
        InputError: It holds another class, or one that runs code from the file; says which.
        OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile: It is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    if config["registered_name"] != MODEL_CLASS:
        raise InputError(f"{path} must be a model of this package. Received: {config['class_name']}")
    for entry in _objects(config):
        name = str(entry["class_name"])
        registered = str(entry.get("registered_name", name))  # where Keras looks first
        package = registered.partition(">")[0] if ">" in registered else str(entry.get("module")).partition(".")[0]
        if name in RUNS_CODE or (package not in PACKAGES and name not in PLAIN_VALUES):
            raise InputError(
                f"{path} must hold no class but those of {' and '.join(PACKAGES)}, and no code. "
                f"Received: {name} of {package}"
            )


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yields every description of an object in a nested config."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _objects(value)
