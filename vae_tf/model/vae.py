"""The variational autoencoder: encoder + posterior + prior + likelihood + decoder + objective."""

from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from vae_tf.model.likelihood import Likelihood
from vae_tf.model.objective import Objective, Terms
from vae_tf.model.posterior import Posterior, Seed
from vae_tf.model.prior import Prior

NOISE_STATE = "seed_generator_state"
PARTS = ("encoder", "decoder", "posterior", "prior", "likelihood", "objective")


@keras.saving.register_keras_serializable(package="vae_tf")
class VAE(keras.Model):
    """A variational autoencoder (Kingma & Welling 2014) composed of interchangeable parts.

    `compile(optimizer)` without a loss, then `fit(x)` with pictures alone. Training reports `loss` (the
    objective, and the layers' own regularizers where there are any), `reconstruction_loss` and `kl_loss`;
    `evaluate` and `val_*` report minus the ELBO as `loss`, and its two parts. All in nats per example.

    Args:
        encoder: Model from data `(B, H, W, C)` to raw posterior parameters `(B, posterior.params_size(Z))`.
        decoder: Model from latents `(B, Z)` to raw likelihood parameters
            `(B, H, W, likelihood.params_size(C))`.
        posterior: What the encoder's numbers mean.
        prior: Distribution of the latents; it knows Z.
        likelihood: What the decoder's numbers mean.
        objective: What training minimizes.
        seed: Seed of the posterior noise. Training draws it from one generator; every `evaluate` begins a
            second one anew, so that evaluation is repeatable and leaves training as it was.
        **kwargs: As of `keras.Model`.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        posterior: Posterior,
        prior: Prior,
        likelihood: Likelihood,
        objective: Objective,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.posterior = posterior
        self.prior = prior
        self.likelihood = likelihood
        self.objective = objective
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.evaluation_seed_generator = keras.random.SeedGenerator(seed + 1)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_loss_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_loss_tracker = keras.metrics.Mean(name="kl_loss")

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Does what `keras.Model.evaluate` does, with the same posterior noise at every call."""
        fresh = keras.random.SeedGenerator(self.seed + 1)
        self.evaluation_seed_generator.state.assign(fresh.state)
        return super().evaluate(*args, **kwargs)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Builds every part.

        Args:
            input_shape: `(None, height, width, channels)`.

        Raises:
            ValueError: The encoder or decoder does not put out what the posterior or likelihood needs.
        """
        params_size = self.posterior.params_size(self.prior.latent_dim)
        latent_shape = (None, self.prior.latent_dim)
        likelihood_shape = (*input_shape[1:-1], self.likelihood.params_size(input_shape[-1]))
        for part, shape in (
            (self.encoder, input_shape),
            (self.decoder, latent_shape),
            (self.posterior, (None, params_size)),
            (self.prior, latent_shape),
            (self.likelihood, input_shape),
            (self.objective, None),
        ):
            if not part.built:
                part.build(shape)
        _check_output("encoder", self.encoder, input_shape, (params_size,))
        _check_output("decoder", self.decoder, latent_shape, likelihood_shape)
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The three trackers; Keras resets them at the start of every epoch."""
        return [self.loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def elbo_terms(
        self,
        inputs: keras.KerasTensor,
        *,
        num_samples: int = 1,
        training: bool = False,
        seed: Seed | None = None,
    ) -> Terms:
        """Returns the terms of the ELBO; training, testing and evaluation all go through here.

        Args:
            inputs: Data `(B, H, W, C)`.
            num_samples: Posterior draws K per example.
            training: Whether batch normalization uses the batch and updates its averages.
            seed: Source of the noise; by default the model's own generator, which moves on.

        Returns:
            `Terms` for K draws of B examples, in nats.
        """
        params, z, decoded = self.draw(inputs, num_samples=num_samples, training=training, seed=seed)
        return Terms(
            log_likelihood=self.likelihood.log_prob(decoded, inputs),
            log_prior=self.prior.log_prob(z),
            log_posterior=self.posterior.log_prob(params, z),
            kl=self.prior.kl(self.posterior, params, z),
            z=z,
        )

    def draw(
        self,
        inputs: keras.KerasTensor,
        *,
        num_samples: int = 1,
        training: bool = False,
        seed: Seed | None = None,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        """Returns the posterior's parameters `(B, P)`, draws `(K, B, Z)`, and likelihood parameters `(K, B, H, W, P)`.

        The arguments are those of `elbo_terms`.
        """
        params = ops.cast(self.encoder(inputs, training=training), "float32")
        batch_size = ops.shape(params)[0]
        repeated = ops.broadcast_to(params, (num_samples, *ops.shape(params)))
        z = self.posterior.sample(repeated, self.seed_generator if seed is None else seed)
        flat = ops.reshape(z, (num_samples * batch_size, self.prior.latent_dim))
        decoded = self.decoder(flat, training=training)
        return params, z, ops.reshape(decoded, (num_samples, batch_size, *decoded.shape[1:]))

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Returns the mean reconstruction `(B, H, W, C)` of data, through the posterior mean."""
        params = ops.cast(self.encoder(inputs, training=training), "float32")
        return self.likelihood.mean(self.decoder(self.posterior.mean(params), training=training))

    def train_step(self, data: Any) -> dict[str, keras.KerasTensor]:
        """Makes one update of the weights on a batch and returns the running means of the epoch."""
        inputs = _pictures_alone(data)
        with tf.GradientTape() as tape:
            terms = self.elbo_terms(inputs, training=True)
            per_example = self.objective(terms) + ops.sum(self.losses)  # plus the layers' own regularizers
            loss = ops.mean(per_example)
            scaled_loss = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled_loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        return self._track(per_example, terms)

    def test_step(self, data: Any) -> dict[str, keras.KerasTensor]:
        """Measures a batch, with beta 1 and batch normalization at its averages."""
        terms = self.elbo_terms(_pictures_alone(data), training=False, seed=self.evaluation_seed_generator)
        return self._track(terms.negative_elbo(), terms)

    def _track(self, loss: keras.KerasTensor, terms: Terms) -> dict[str, keras.KerasTensor]:
        """Adds one value per example `(B,)` to each mean, so that a short last batch weighs right."""
        self.loss_tracker.update_state(loss)
        self.reconstruction_loss_tracker.update_state(terms.reconstruction_loss())
        self.kl_loss_tracker.update_state(terms.kl)
        return {metric.name: metric.result() for metric in self.metrics}

    def encode(self, x: np.ndarray, batch_size: int = 128) -> np.ndarray:
        """Returns the posterior means, float32 `(N, Z)`, of data `(N, H, W, C)`."""
        params = self.encoder.predict(x, batch_size=batch_size, verbose=0)
        return ops.convert_to_numpy(self.posterior.mean(ops.convert_to_tensor(params, "float32")))

    def decode(self, z: np.ndarray, batch_size: int = 128) -> np.ndarray:
        """Returns the mean data E[x | z], float32 `(N, H, W, C)`, for latents `(N, Z)`."""
        params = self.decoder.predict(z, batch_size=batch_size, verbose=0)
        return ops.convert_to_numpy(self.likelihood.mean(ops.convert_to_tensor(params, "float32")))

    def sample(self, n: int, seed: Seed, temperature: float = 1.0) -> np.ndarray:
        """Returns the mean data for `n` draws of the latents from the prior.

        Args:
            n: Number of draws, at least 1.
            seed: An integer gives the same draws every time.
            temperature: Factor on the latents, at least 0; below 1 stays nearer to the prior's centre.

        Returns:
            float32 `(n, H, W, C)` in data units.

        Raises:
            ValueError: `n` is below 1, or `temperature` is negative or not a number.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1. Received: n={n}")
        if not temperature >= 0:
            raise ValueError(f"temperature must be at least 0. Received: temperature={temperature}")
        return self.decode(temperature * ops.convert_to_numpy(self.prior.sample(n, seed)))

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Returns the mean reconstructions, float32 `(N, H, W, C)`, of data `(N, H, W, C)`."""
        return self.decode(self.encode(x))

    def save_own_variables(self, store: Any) -> None:
        """Stores the state of the noise, which Keras leaves out, so that training goes on where it was."""
        super().save_own_variables(store)
        store[NOISE_STATE] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` stored."""
        super().load_own_variables({key: store[key] for key in store.keys() if key != NOISE_STATE})  # noqa: SIM118  # no dict
        self.seed_generator.state.assign(store[NOISE_STATE])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, parts serialized."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS}
        return {**super().get_config(), **parts, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Returns the model that `get_config` describes, with fresh weights."""
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in PARTS}
        return cls(**{**config, **parts})


def _check_output(name: str, network: keras.Model, input_shape: tuple[Any, ...], needed: tuple[Any, ...]) -> None:
    given = tuple(network.compute_output_shape(input_shape))[1:]
    if given != needed:
        raise ValueError(f"The {name} must put out {needed} for each example. Received: {given}")


def _pictures_alone(data: Any) -> keras.KerasTensor:
    inputs, targets, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if targets is not None or sample_weight is not None:
        raise ValueError("A VAE is fitted to data alone. Received: targets or sample weights; call fit(x)")
    return inputs
