"""One reader per format.

A source is an indexed collection of pictures that reads a few of them at a time, so that what does not
fit in memory is never loaded whole. Sources are numpy and Pillow only: no TensorFlow.
"""

from typing import Protocol, Self

import numpy as np


class Examples(Protocol):
    """An indexed collection of pictures, or of rows of features `(B, F)`.

    Attributes:
        example_shape: `(height, width, channels)`, or `(features,)`, of what `read` returns.
        scale: The number that stands for white: pixels divided by it lie in [0, 1].
        dtype: Type of the pixels that `read` returns.
        labels: Class of each picture, int64 of shape `(N,)`, or `None`.
        is_in_memory: Whether they are few enough to be held in memory, and are.
    """

    example_shape: tuple[int, ...]
    scale: float
    dtype: np.dtype
    labels: np.ndarray | None
    is_in_memory: bool

    def __len__(self) -> int: ...

    @property
    def names(self) -> list[str]:
        """What tells the pictures apart, `(N,)`: the path of a file, or the row in an array."""
        ...

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Returns the pictures at `indices` `(B,)` as `(B, H, W, C)`, in [0, `scale`]."""
        ...

    def subset(self, indices: np.ndarray) -> Self:
        """Returns the collection of the pictures at `indices` `(B,)`, in that order."""
        ...
