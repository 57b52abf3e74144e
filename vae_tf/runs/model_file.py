"""Checks which classes a model file contains, before Keras creates anything from it.

In safe mode Keras refuses lambdas and imports no other modules, but it does create any layer of its own, and any class
that something else in the process has registered.
"""

import importlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from vae_tf.support.errors import InputError
from vae_tf.support.redaction import redacted

MODEL_CLASS = "vae_tf>VAE"
PACKAGES = ("keras", "vae_tf")
RUNS_CODE = ("Lambda", "__lambda__", "function")
PLAIN_VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__")


def check_classes(path: Path, root: str | None = MODEL_CLASS, trusted: Sequence[str] = ()) -> None:
    """Raises an error if a `.keras` file contains classes other than those of this package and Keras.

    Args:
        path: The file.
        root: Registered name of the class that the file must contain; `None` for any class.
        trusted: Further packages whose classes the file may contain; the caller vouches for their code.

    Raises:
        InputError: The file contains another class, or one that runs code from the file. The message names the class.
        OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile: The file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    packages = (*PACKAGES, *trusted)
    if root is not None and config["registered_name"] != root:
        raise InputError(f"{path} must be a model of this package. Received: {config['class_name']}")
    if root == MODEL_CLASS and "latents" not in config["config"]:
        raise InputError(
            f"{path} must be a model of this version of vae_tf. Received: one of version 0.1.0; train the run again, "
            "or use that version"
        )
    for entry in _objects(config):
        name = str(entry["class_name"])
        registered = str(entry.get("registered_name", name))  # where Keras looks first
        package = registered.partition(">")[0] if ">" in registered else str(entry.get("module")).partition(".")[0]
        if name in RUNS_CODE or (package not in packages and name not in PLAIN_VALUES):
            raise InputError(
                f"{path} must hold no class but those of {' and '.join(packages)}, and no code. "
                f"Received: {name} of {package}"
            )


def save_keras_file(saved: Any, path: Path) -> None:
    """Writes a model or a layer as a `.keras` file.

    Args:
        saved: The model or layer, with its weights built.
        path: The file to write.
    """
    import keras

    keras.saving.save_model(saved, path)


def load_keras_file(path: Path, root: str | None = MODEL_CLASS, trusted: Sequence[str] = ()) -> Any:
    """Returns the object in a `.keras` file, loaded in safe mode; see `check_classes`.

    Raises:
        InputError: The file is damaged, or contains a class that is not allowed.
    """
    import keras

    import vae_tf.model  # noqa: F401  # registers the classes

    try:
        check_classes(path, root, trusted)
        for package in trusted:
            importlib.import_module(package)
        return keras.saving.load_model(path, safe_mode=True)
    except InputError:
        raise
    except Exception as error:  # Keras raises whatever the zip, json and h5 readers raise
        # If a file is not a zip file, Keras reports that it does not exist.
        reason = " ".join(redacted(str(error)).split())[:120] if is_zipfile(path) else "it is cut off, or another file"
        raise InputError(f"{path} must be an undamaged model of this package ({reason})") from error


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yields every description of an object in a nested config."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _objects(value)
