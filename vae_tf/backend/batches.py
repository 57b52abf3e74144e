"""Calls functions of arrays one batch at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def in_batches(function: Callable[..., Any], arrays: Sequence[np.ndarray | None], batch_size: int) -> np.ndarray:
    """Returns a function's results for all examples, computed in batches so that memory stays bounded.

    Args:
        function: Maps the arrays of a batch, `(B, ...)` each, to one result `(B, ...)`.
        arrays: `(N, ...)` each; a `None` is passed on as `None`.
        batch_size: Examples per batch; the last batch holds the remainder.
    """
    [count] = {len(array) for array in arrays if array is not None}
    parts = [slice(start, start + batch_size) for start in range(0, count, batch_size)]
    results = [function(*(None if array is None else array[part] for array in arrays)) for part in parts]
    return np.concatenate([np.asarray(result) for result in results])
