"""Checks whether a trained model uses its latents."""

import sys

import numpy as np

from vae_tf.config import RunConfig
from vae_tf.data.catalog import Splits
from vae_tf.data.pipeline import Split
from vae_tf.metrics.encoded import encode, spread
from vae_tf.metrics.latents import ACTIVE_VARIANCE
from vae_tf.model.vae import VAE

LARGEST_SAMPLE = 2_500
FEWEST_ACTIVE = 0.1


def warn_if_collapsed(model: VAE, config: RunConfig, splits: Splits) -> None:
    """Prints a warning if fewer than a tenth of the latent dimensions are active (Burda et al. 2016, appendix C).

    Args:
        model: A trained model.
        config: The run's config.
        splits: The run's data; the validation part is used, or the training set if there is none.
    """
    split: Split = "train" if splits.val is None else "val"
    examples = spread(splits.train if splits.val is None else splits.val, LARGEST_SAMPLE)
    means = encode(model, examples, config, splits.spec.example_shape, split).means
    active, latent_dim = int(np.sum(means.var(axis=0) > ACTIVE_VARIANCE)), means.shape[1]
    if active < FEWEST_ACTIVE * latent_dim:
        print(
            f"warning: {active} of {latent_dim} latent dimensions are active: the posterior mean of the others hardly "
            "varies. Train longer, lower --beta or raise it slowly with --kl-schedule linear",
            file=sys.stderr,
            flush=True,
        )
