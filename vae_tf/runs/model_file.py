"""Checks which classes a model file contains, before Keras creates any object from it.

In safe mode, Keras rejects lambdas and imports only its own modules, but it still creates any layer of its own, and any
class that other code in the process has registered.
"""

import importlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from vae_tf.support.errors import InputError
from vae_tf.support.redaction import redact

MODEL_CLASS = "vae_tf>VAE"
PACKAGES = ("keras", "vae_tf")
CODE_CLASSES = ("Lambda", "__lambda__", "function")
PLAIN_VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__")


def read_keras_config(path: Path) -> Any:
    """Returns the config in a `.keras` file: the name of its class, and the constructor's arguments as `"config"`.

    Raises:
        OSError, ValueError, LookupError, zipfile.BadZipFile: The file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def check_classes(path: Path, root_class: str | None = MODEL_CLASS, trusted: Sequence[str] = ()) -> None:
    """Raises an error if a `.keras` file contains classes of packages other than vae_tf and Keras.

    Args:
        path: The file.
        root_class: Registered name of the class that the file must contain; `None` for any class.
        trusted: Additional packages whose classes the file may contain; the caller trusts their code.

    Raises:
        InputError: The file contains a class that is not allowed, or one that runs code from the file.
        OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile: The file is damaged.
    """
    config = read_keras_config(path)
    packages = (*PACKAGES, *trusted)
    if root_class is not None and config["registered_name"] != root_class:
        raise InputError(f"{path} must contain a vae_tf model. Received: {config['class_name']}; choose another file")
    if root_class == MODEL_CLASS and "latents" not in config["config"]:
        raise InputError(
            f"{path} must have the current format of vae_tf models. Received: an older format; train the model "
            "again, or use the version of vae_tf that saved it"
        )
    for entry in _objects(config):
        name = str(entry["class_name"])
        registered = str(entry.get("registered_name", name))  # Keras looks this name up first
        package = registered.partition(">")[0] if ">" in registered else str(entry.get("module")).partition(".")[0]
        if name in CODE_CLASSES or (package not in packages and name not in PLAIN_VALUES):
            raise InputError(
                f"{path} must contain only classes from {' and '.join(packages)}, and no code. "
                f"Received: {name} from {package}"
            )


def save_keras_file(model: Any, path: Path) -> None:
    """Writes a model or a layer as a `.keras` file.

    Args:
        model: The model or layer, already built.
        path: The file to write.
    """
    import keras

    keras.saving.save_model(model, path)


def load_keras_file(path: Path, root_class: str | None = MODEL_CLASS, trusted: Sequence[str] = ()) -> Any:
    """Returns the object in a `.keras` file, loaded in safe mode; see `check_classes`.

    Raises:
        InputError: The file is damaged, or contains a class that is not allowed.
    """
    import keras

    import vae_tf.model  # noqa: F401  # registers the package's classes

    try:
        check_classes(path, root_class, trusted)
        for package in trusted:
            importlib.import_module(package)
        return keras.saving.load_model(path, safe_mode=True)
    except InputError:
        raise
    except Exception as error:  # Keras raises whatever the zip, json and h5 readers raise
        # If a file is not a zip file, Keras reports that it does not exist.
        reason = " ".join(redact(str(error)).split())[:120] if is_zipfile(path) else "truncated, or not a .keras file"
        raise InputError(f"{path} is damaged, or not a vae_tf model ({reason}); train the model again") from error


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yields every description of an object in a nested config."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _objects(value)
