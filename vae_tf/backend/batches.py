"""Applies a function to arrays one batch at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def map_batches(function: Callable[..., Any], arrays: Sequence[np.ndarray | None], batch_size: int) -> np.ndarray:
    """Returns a function's results for all examples, computed batch by batch to bound memory use.

    Args:
        function: Maps the arrays of a batch, each `(B, ...)`, to one result `(B, ...)`.
        arrays: Each `(N, ...)`, or `None`, which is passed on to the function.
        batch_size: Examples per batch; the last batch contains the remainder.
    """
    [count] = {len(array) for array in arrays if array is not None}
    slices = [slice(start, start + batch_size) for start in range(0, count, batch_size)]
    results = [function(*(None if array is None else array[rows] for array in arrays)) for rows in slices]
    return np.concatenate([np.asarray(result) for result in results])
