"""Loads arrays of images as a dataset, from npz and npy files."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from vae_tf.config import DataConfig
from vae_tf.data.loading import NativeSplits, require_data_dir
from vae_tf.data.sources.arrays import (
    ArraySource,
    check_labels,
    check_pixels,
    infer_pixel_scale,
    read_npy,
    read_npz,
)
from vae_tf.data.sources.on_disk import Array, OnDiskArray
from vae_tf.support.errors import InputError

NPZ_KEYS = ("x_train", "x_test", "y_train", "y_test")


def load_fashion_mnist_sample(config: DataConfig) -> NativeSplits:
    """Loads the bundled subset of Fashion-MNIST (MIT, Zalando SE): 10,000 + 2,500 images, 28x28x1, ten classes."""
    if config.data_dir is not None:
        raise InputError(
            "fashion_mnist_sample is bundled with the package, so data_dir must not be set. "
            f"Received: data_dir={config.data_dir}; choose --dataset fashion_mnist, folder, npz or npy"
        )
    with resources.as_file(resources.files("vae_tf.data") / "bundled" / "fashion_mnist_sample.npz") as path:
        return splits_from_arrays(read_npz(path, NPZ_KEYS), "")


def load_npz(config: DataConfig) -> NativeSplits:
    """Loads an npz file with the arrays of `keras.datasets`: `x_train`, `x_test`, and optionally the labels `y_*`."""
    return splits_from_npz(require_data_dir(config, "the npz file"))


def load_npy(config: DataConfig) -> NativeSplits:
    """Loads one array of images from an npy file; it has no test split of its own."""
    path = require_data_dir(config, "the npy file")
    pixels = check_pixels(read_npy(path), str(path))
    return NativeSplits(ArraySource(pixels, None, infer_pixel_scale({str(path): pixels})), None)


def splits_from_npz(path: Path) -> NativeSplits:
    """Returns the splits in an npz file whose arrays have the names used by `keras.datasets`.

    Raises:
        InputError: The file can't be read, or an array is missing or invalid.
    """
    arrays = read_npz(path, NPZ_KEYS)
    missing = [key for key in NPZ_KEYS[:2] if key not in arrays]
    if missing:
        raise InputError(f"{path} must contain the arrays x_train and x_test. Missing: {' and '.join(missing)}")
    return splits_from_arrays(arrays, f"{path}: ")


def splits_from_arrays(arrays: Mapping[str, Array], prefix: str = "", names: Sequence[str] = NPZ_KEYS) -> NativeSplits:
    """Returns the splits in arrays with the names used by `keras.datasets`.

    Args:
        arrays: `x_train` and `x_test`, and optionally the labels `y_train` and `y_test`.
        prefix: Prefix of the arrays' names in error messages.
        names: What error messages call `x_train`, `x_test`, `y_train` and `y_test`.

    Raises:
        InputError: An array is invalid.
    """
    x_train, x_test = (
        check_pixels(arrays[key], prefix + name) for key, name in zip(NPZ_KEYS[:2], names[:2], strict=True)
    )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise InputError(
            f"{prefix}{names[0]} and {names[1]} must contain images of the same shape. "
            f"Received: {x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    scale = infer_pixel_scale({f"{prefix}{names[0]}": x_train, names[1]: x_test})
    y_train, y_test = (
        check_labels(_load_into_memory(arrays.get(key)), len(pixels), prefix + name)
        for key, name, pixels in zip(NPZ_KEYS[2:], names[2:], (x_train, x_test), strict=True)
    )
    return NativeSplits(ArraySource(x_train, y_train, scale), ArraySource(x_test, y_test, scale))


def _load_into_memory(labels: Array | None) -> np.ndarray | None:
    return labels[:] if isinstance(labels, OnDiskArray) else labels
