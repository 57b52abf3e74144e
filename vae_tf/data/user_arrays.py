"""Data that the user passes from Python: arrays, or datasets of `tf.data`."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from vae_tf.data.array_files import NPZ_KEYS, splits_from_arrays
from vae_tf.data.loading import NativeSplits
from vae_tf.support.errors import InputError

ARGUMENTS = ("x", "x_test", "y", "y_test")
INFINITE = -1  # the cardinality of an infinite dataset


class UserArrays:
    """The images and labels of a run that were passed from Python instead of read from files.

    Args:
        x: Training images, `(N, H, W)` or `(N, H, W, C)` with values in [0, 1] or [0, 255]; or a finite
            `tf.data.Dataset` of batches of images, or of pairs (images, labels). It is read once, into memory.
        x_test: Test images, like `x`.
        y: Labels `(N,)` of `x`, if any.
        y_test: Labels of `x_test`, if any.

    Attributes:
        arrays: The arrays, with the names used by `keras.datasets`.

    Raises:
        InputError: A dataset is infinite or empty, its elements are not images, or its labels are passed twice.
    """

    def __init__(self, x: Any, x_test: Any, y: Any = None, y_test: Any = None) -> None:
        images, labels = zip(_read("x", x, "y", y), _read("x_test", x_test, "y_test", y_test), strict=True)
        arrays = dict(zip(NPZ_KEYS, (*images, *labels), strict=True))
        self.arrays = {key: array for key, array in arrays.items() if array is not None}

    def native_splits(self) -> NativeSplits:
        """Returns the splits.

        Raises:
            InputError: An array is invalid.
        """
        return splits_from_arrays(self.arrays, names=ARGUMENTS)


def _read(name: str, x: Any, label_name: str, labels: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns images and labels as arrays."""
    if not hasattr(x, "as_numpy_iterator"):  # only datasets of tf.data have it; isinstance would need TensorFlow
        return np.asarray(x), None if labels is None else np.asarray(labels)
    if labels is not None:
        raise InputError(
            f"{label_name} must not be passed if {name} is a dataset. Received: {label_name}; pass {name} as a dataset "
            "of pairs (images, labels)"
        )
    if int(x.cardinality()) == INFINITE:
        raise InputError(f"{name} must be a finite dataset. Received: an infinite one; remove repeat(), or use take()")
    batches = [_check_batch(name, batch) for batch in x.as_numpy_iterator()]
    if not batches:
        raise InputError(f"{name} must contain at least one batch. Received: an empty dataset")
    images, classes = zip(*batches, strict=True)
    return _concatenate(name, images), None if classes[0] is None else np.concatenate(classes)


def _check_batch(name: str, batch: Any) -> tuple[np.ndarray, np.ndarray | None]:
    images, labels = batch if isinstance(batch, tuple) and len(batch) == 2 else (batch, None)
    if not isinstance(images, np.ndarray) or images.ndim != 4 or not isinstance(labels, np.ndarray | None):
        received = f"shape {images.shape}" if isinstance(images, np.ndarray) else f"type {type(images).__name__}"
        raise InputError(
            f"{name} must be a dataset of batches of images (B, H, W, C), or of pairs (images, labels). Received: "
            f"elements of {received}; use map() and batch()"
        )
    return images, labels


def _concatenate(name: str, batches: Iterable[np.ndarray]) -> np.ndarray:
    try:
        return np.concatenate(list(batches))
    except ValueError:
        raise InputError(f"{name} must contain images of one size. Received: several; resize them in map()") from None
