"""Fits a sampler to the latents of a trained model."""

from typing import Any

from vae_tf import registry
from vae_tf.config import RunConfig
from vae_tf.data.loading import Splits
from vae_tf.metrics.encoding import encode
from vae_tf.model.sampler import Sampler
from vae_tf.model.vae import VAE


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
    sampler: Sampler = registry.resolve(registry.SAMPLERS[name])(
        latent_dim=model.latents.latent_dim, num_classes=model.num_classes, name=name, **arguments
    )
    sampler.build(None)
    encoded = encode(model, splits.train, config, splits.spec.example_shape, "train")
    sampler.fit(encoded.means, encoded.labels if model.num_classes else None, config.seed)
    return sampler
