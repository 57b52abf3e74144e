"""Fits a sampler to the latents of a trained model."""

from typing import Any

import numpy as np

from vae_tf import registry
from vae_tf.config import RunConfig
from vae_tf.data.loading import Splits
from vae_tf.metrics.encoding import encode
from vae_tf.model.sampler import Sampler
from vae_tf.model.vae import VAE


def check_sampler(config: RunConfig, splits: Splits) -> None:
    """Raises an error if the training set is too small for the sampler of a config, if it has one.

    Raises:
        InputError: The training set is too small for the sampler.
    """
    if config.sampler is not None:
        num_classes = splits.spec.num_classes if config.conditional else None
        sampler = _create(config.sampler, config.arguments("sampler"), config.latent_dim, num_classes)
        labels = splits.train.labels
        if num_classes is None or labels is None:
            sampler.check_num_examples(len(splits.train))
        else:
            sampler.check_num_examples(int(np.bincount(labels, minlength=num_classes).min()))


def fit_sampler(name: str, arguments: dict[str, Any], model: VAE, config: RunConfig, splits: Splits) -> Sampler:
    """Returns a sampler fitted to the latents of the training set.

    Args:
        name: Name of the sampler in the registry.
        arguments: Arguments of its constructor, from its options.
        model: A trained model.
        config: The run's config.
        splits: The run's data.

    Raises:
        InputError: The training set is too small for the sampler.
    """
    sampler = _create(name, arguments, model.latents.latent_dim, model.num_classes)
    sampler.build(None)
    encoded = encode(model, splits.train, config, splits.spec.example_shape, "train")
    sampler.fit(encoded.means, encoded.labels if model.num_classes else None, config.seed)
    return sampler


def _create(name: str, arguments: dict[str, Any], latent_dim: int, num_classes: int | None) -> Sampler:
    sampler: Sampler = registry.resolve(registry.SAMPLERS[name])(
        latent_dim=latent_dim, num_classes=num_classes, name=name, **arguments
    )
    return sampler
