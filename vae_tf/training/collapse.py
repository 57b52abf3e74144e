"""Warns about posterior collapse."""

import sys

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.loading import Splits
from vae_tf.data.pipeline import Split
from vae_tf.metrics.encoding import encode, evenly_spaced
from vae_tf.metrics.latents import MIN_ACTIVE_VARIANCE
from vae_tf.model.vae import VAE

MAX_EXAMPLES = 2_500
MIN_ACTIVE_FRACTION = 0.1


def warn_if_collapsed(model: VAE, config: RunConfig, splits: Splits) -> None:
    """Prints a warning if fewer than a tenth of the latent dimensions are active (Burda et al. 2016, appendix C).

    Args:
        model: A trained model.
        config: The run's config.
        splits: The run's data; the validation set is used if there is one, otherwise the training set.
    """
    split: Split = "train" if splits.val is None else "val"
    examples = evenly_spaced(splits.train if splits.val is None else splits.val, MAX_EXAMPLES)
    means = encode(model, examples, config, splits.spec.example_shape, split).means
    active, latent_dim = int(np.sum(means.var(axis=0) > MIN_ACTIVE_VARIANCE)), means.shape[1]
    if active < MIN_ACTIVE_FRACTION * latent_dim:
        print(
            f"warning: possible posterior collapse: only {active} of {latent_dim} latent dimensions are active; "
            "train longer, lower --beta or use --kl-schedule linear",
            file=sys.stderr,
            flush=True,
        )
