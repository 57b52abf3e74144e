"""The latent model with a single group of latents: encoder, posterior, prior and decoder."""

import math
from typing import Any, Self

import keras
from keras import ops

from vae_tf.backend.kernels import one_hot
from vae_tf.config import ModelConfig
from vae_tf.model.checks import check_integer
from vae_tf.model.factory import create_network, create_part
from vae_tf.model.kl import kl_divergence
from vae_tf.model.latents.base import LatentModel
from vae_tf.model.noise import Seed
from vae_tf.model.posterior import Posterior
from vae_tf.model.posterior.base import FactorizedPosterior
from vae_tf.model.prior import Prior
from vae_tf.model.terms import Inferred

FLOAT_BYTES = 4
GROUP = "z"
PARTS = ("encoder", "decoder", "posterior", "prior")


@keras.saving.register_keras_serializable(package="vae_tf")
class FlatLatents(LatentModel):
    """The latent model of Kingma & Welling (2014): one layer of latents between an encoder and a decoder.

    Args:
        encoder: Model from data `(B, H, W, C)` to raw posterior parameters `(B, posterior.params_size(Z))`. If
            `num_classes` is set, its inputs are a list of the data and one-hot labels `(B, num_classes)`.
        decoder: Model from latents `(B, Z)` to raw likelihood parameters `(B, H, W, likelihood.params_size(C))`. If
            `num_classes` is set, its inputs are a list of the latents and one-hot labels.
        posterior: The posterior family, which interprets the encoder's outputs.
        prior: The prior distribution of the latents, which determines Z.
        num_classes: Number of classes of a conditional model.
        **kwargs: Passed to `keras.layers.Layer`.

    Raises:
        ValueError: `num_classes` is below 1.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        posterior: Posterior,
        prior: Prior,
        num_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.posterior = posterior
        self.prior = prior
        self.num_classes = None if num_classes is None else check_integer("num_classes", num_classes, 1)
        self.latent_dim = prior.latent_dim
        self.groups = {GROUP: slice(0, prior.latent_dim)}

    def build_from_example_shape(self, example_shape: tuple[int, ...], params_size: int) -> None:
        """Builds every part; see `LatentModel.build_from_example_shape`."""
        num_posterior_params = self.posterior.params_size(self.latent_dim)
        data, latents = (None, *example_shape), (None, self.latent_dim)
        decoder_output = (*example_shape[:-1], params_size)
        for part, shape in (
            (self.encoder, self._network_shape(data)),
            (self.decoder, self._network_shape(latents)),
            (self.posterior, (None, num_posterior_params)),
            (self.prior, latents),
        ):
            if not part.built:
                part.build(shape)
        _check_output("encoder", self.encoder, self._network_shape(data), (num_posterior_params,))
        _check_output("decoder", self.decoder, self._network_shape(latents), decoder_output)
        self.built = True

    def posterior_params(
        self, x: keras.KerasTensor, labels: keras.KerasTensor | None, training: bool = False
    ) -> keras.KerasTensor:
        """Returns the raw posterior parameters, float32 `(B, P)`, of data `(B, H, W, C)`."""
        return ops.cast(self.encoder(self._network_input(x, labels), training=training), "float32")

    def infer(
        self,
        x: keras.KerasTensor,
        labels: keras.KerasTensor | None,
        noise: keras.KerasTensor,
        training: bool = False,
    ) -> Inferred:
        """Returns K posterior samples per example; see `LatentModel.infer`."""
        return self.infer_from_params(self.posterior_params(x, labels, training), noise)

    def infer_from_params(self, params: keras.KerasTensor, noise: keras.KerasTensor) -> Inferred:
        """Like `infer`, but from raw posterior parameters `(B, P)` instead of data."""
        z = self.posterior.sample(params, noise)
        log_posterior, log_prior = self.posterior.log_prob(params, z), self.prior.log_prob(z)
        kl = kl_divergence(self.posterior, params, self.prior, log_posterior, log_prior)
        return Inferred(z, log_posterior, log_prior, {GROUP: kl}, params)

    def decode(
        self,
        z: keras.KerasTensor,
        labels: keras.KerasTensor | None,
        target: keras.KerasTensor | None = None,
        training: bool = False,
    ) -> keras.KerasTensor:
        """Returns raw likelihood parameters `(N, H, W, P)` for latents `(N, Z)`; see `LatentModel.decode`."""
        return self.decoder(self._network_input(z, labels), training=training)

    def sample(
        self, n: int, labels: keras.KerasTensor | None, seed: Seed, temperature: float = 1.0
    ) -> keras.KerasTensor:
        """Returns `n` latents drawn from the prior, float32 `(n, Z)`."""
        return self.prior.sample(n, seed, temperature)

    def representation(self, x: keras.KerasTensor, labels: keras.KerasTensor | None) -> keras.KerasTensor:
        """Returns the posterior means `(N, Z)`."""
        return self.posterior.mean(self.posterior_params(x, labels))

    def kl_per_dimension(self, inferred: Inferred) -> keras.KerasTensor:
        """Returns the KL divergence of each latent dimension, in nats, `(B, Z)`.

        Without a closed form it is the mean over the samples of log q(z_j | x) - log p(z_j), where p(z_j) is the
        prior's marginal distribution.
        """
        kl = inferred.kl[GROUP]
        if kl.shape[-1] == self.latent_dim:
            return kl
        assert isinstance(self.posterior, FactorizedPosterior)
        log_posterior = self.posterior.log_prob_per_dimension(inferred.params, inferred.z)
        return ops.mean(log_posterior - self.prior.log_prob_per_dimension(inferred.z), axis=0)

    def bytes_per_sample(self) -> int:
        """Returns the memory, in bytes, of all decoder layers' outputs for one sample of one example."""
        layers = [layer for layer in self.decoder.layers if not isinstance(layer, keras.layers.InputLayer)]
        return FLOAT_BYTES * sum(math.prod(layer.output.shape[1:]) for layer in layers)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with serialized parts."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS}
        return {**super().get_config(), **parts, "num_classes": self.num_classes}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Returns the latent model that `get_config` describes, with newly initialized weights."""
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in PARTS}
        return cls(**{**config, **parts})

    def _network_input(self, values: keras.KerasTensor, labels: keras.KerasTensor | None) -> Any:
        """Returns the input of a network: the values, with one-hot labels if the model is conditional."""
        if self.num_classes is None:
            return values
        return [ops.convert_to_tensor(values), one_hot(labels, self.num_classes)]

    def _network_shape(self, shape: tuple[Any, ...]) -> Any:
        """Returns the shape, or shapes, of `_network_input`."""
        return shape if self.num_classes is None else [shape, (None, self.num_classes)]


def _check_output(name: str, network: keras.Model, input_shape: Any, expected: tuple[Any, ...]) -> None:
    received = tuple(network.compute_output_shape(input_shape))[1:]
    if received != expected:
        raise ValueError(f"The {name} must output shape {expected} per example. Received: shape {received}")


def build_flat_latents(
    config: ModelConfig, example_shape: tuple[int, ...], num_classes: int | None, params_size: int
) -> FlatLatents:
    """Returns the flat latent model that a config describes, with newly initialized weights.

    Args:
        config: The config, which selects the network, the posterior and the prior.
        example_shape: `(H, W, C)` or `(F,)`.
        num_classes: Number of classes of a conditional model.
        params_size: Number of raw likelihood parameters per pixel, or per row of features.
    """
    posterior = create_part("posterior", config)
    network = create_network(config, example_shape, num_classes)
    return FlatLatents(
        encoder=network.build_encoder(posterior.params_size(config.latent_dim)),
        decoder=network.build_decoder(config.latent_dim, params_size),
        posterior=posterior,
        prior=create_part("prior", config, latent_dim=config.latent_dim),
        num_classes=num_classes,
        name="latents",
    )
