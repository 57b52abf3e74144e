"""Readers, one per file format.

A source is an indexed collection of examples that reads only a few of them at a time, so it never loads the whole of
a dataset that does not fit in memory. Sources use only NumPy and Pillow, not TensorFlow.
"""

from typing import Protocol, Self

import numpy as np


class ExampleSource(Protocol):
    """An indexed collection of images, or of rows of features `(B, F)`.

    Attributes:
        example_shape: Shape of an example that `read` returns, `(height, width, channels)` or `(features,)`.
        scale: Maximum pixel value; dividing by it maps pixels to [0, 1]. 1 for rows of features.
        dtype: Data type of the values that `read` returns.
        labels: Class of each example, int64 of shape `(N,)`, or `None`.
        is_in_memory: Whether the examples are held in memory.
    """

    example_shape: tuple[int, ...]
    scale: float
    dtype: np.dtype
    labels: np.ndarray | None
    is_in_memory: bool

    def __len__(self) -> int: ...

    @property
    def names(self) -> list[str]:
        """Unique names of the examples, `(N,)`: paths of files, or row numbers in an array."""
        ...

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the images at `indices` `(B,)` as `(B, H, W, C)`, in [0, `scale`]; rows as `(B, F)`."""
        ...

    def subset(self, indices: np.ndarray) -> Self:
        """Returns a collection of the examples at `indices` `(B,)`, in that order."""
        ...
