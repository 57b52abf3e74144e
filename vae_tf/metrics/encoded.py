"""Examples as the encoder sees them, and what it makes of them, in the order of the data."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.pipeline import Split, evaluation_batches

if TYPE_CHECKING:
    from vae_tf.data.sources import Examples
    from vae_tf.model.vae import VAE

BATCH = 1024


class Encoded(NamedTuple):
    """The posteriors of N examples.

    Attributes:
        means: float32 `(N, Z)`.
        log_vars: Logarithms of the variances, float32 `(N, Z)`.
        labels: Classes `(N,)`, or `None`.
    """

    means: np.ndarray
    log_vars: np.ndarray
    labels: np.ndarray | None


def encode(
    model: "VAE", examples: "Examples", config: RunConfig, example_shape: tuple[int, ...], split: Split
) -> Encoded:
    """Returns the posterior of every example of a collection, as the run corrupts and binarizes it.

    Args:
        model: The run's model.
        examples: N of them.
        config: Of the run.
        example_shape: `(height, width, channels)`, or `(features,)`, of what the model takes.
        split: Which split the examples are of.
    """
    in_large_batches = config.model_copy(update={"batch_size": BATCH})
    batches = evaluation_batches(examples, in_large_batches, example_shape, split).as_numpy_iterator()
    params = [model.encode_params(seen.inputs, seen.labels) for seen in map(model.observed, batches)]
    means, log_vars = np.split(np.concatenate(params), 2, axis=-1)
    return Encoded(means, log_vars, examples.labels)


def spread(examples: "Examples", count: int) -> "Examples":
    """Returns `count` examples in equal steps through the collection, which may be sorted by class."""
    count = min(count, len(examples))
    return examples.subset(np.arange(count) * len(examples) // count)
