"""The variational autoencoder: encoder + posterior + prior + likelihood + decoder + objective."""

from typing import Any, NamedTuple, Self

import keras
from keras import ops

from vae_tf.backend import compiled, replicas
from vae_tf.backend.kernels import one_hot
from vae_tf.backend.micro_batches import summed_over_parts
from vae_tf.model.arrays import ArrayMethods
from vae_tf.model.likelihood import Likelihood
from vae_tf.model.objective import Objective, Terms
from vae_tf.model.posterior import Noise, Posterior, Seed, standard_normal
from vae_tf.model.prior import Prior

NOISE_STATE = "seed_generator_state"
PARTS = ("encoder", "decoder", "posterior", "prior", "likelihood", "objective")


class Observed(NamedTuple):
    """The parts of a batch.

    Attributes:
        inputs: What the encoder sees `(B, H, W, C)`.
        target: What the likelihood is of: the inputs, or what they were before they were corrupted.
        labels: Classes `(B,)`, of a conditional model.
    """

    inputs: Any
    target: Any
    labels: Any


@keras.saving.register_keras_serializable(package="vae_tf")
class VAE(ArrayMethods, keras.Model):
    """A variational autoencoder (Kingma & Welling 2014) composed of interchangeable parts.

    `compile(optimizer)` without a loss, then `fit(x)` with the data alone, `fit(corrupted, x)` to learn to restore it
    (Im et al. 2017), or `fit([x, labels])` where the model is conditional. Training reports `loss` (the objective,
    and the layers' own regularizers where there are any), `reconstruction_loss` and `kl_loss`; `evaluate` and `val_*`
    report minus the ELBO as `loss`, and its two parts. All in nats per example.

    Shapes are those of pictures, `(B, H, W, C)`; rows of features are `(B, F)` throughout. With `num_classes` the model
    is conditional, p(x | class) (Sohn et al. 2015): wherever there are `labels`, they are needed; else they may not
    be given. They are whole numbers `(B,)` in [0, num_classes).

    Args:
        encoder: Model from data `(B, H, W, C)` to raw posterior parameters `(B, posterior.params_size(Z))`. A
            conditional one takes the list of the data and one-hot labels `(B, num_classes)`.
        decoder: Model from latents `(B, Z)` to raw likelihood parameters
            `(B, H, W, likelihood.params_size(C))`. A conditional one takes the list of latents and one-hot labels.
        posterior: What the encoder's numbers mean.
        prior: Distribution of the latents; it knows Z.
        likelihood: What the decoder's numbers mean.
        objective: What training minimizes.
        seed: Seed of the posterior noise. Training draws it from one generator; every `evaluate` begins a
            second one anew, so that evaluation is repeatable and leaves training as it was.
        num_classes: Number of classes of a conditional model.
        micro_batch_size: Where it is given, a training step adds up the gradients of its batch from parts of so many
            examples, the last with what is left over: the same update with less memory, but for batch
            normalization, which normalizes each part. The attribute may be set until the model trains.
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
        num_classes: int | None = None,
        micro_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, number in (("num_classes", num_classes), ("micro_batch_size", micro_batch_size)):
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1. Received: {name}={number}")
        self.num_classes = num_classes
        self.micro_batch_size = micro_batch_size
        self.encoder = encoder
        self.decoder = decoder
        # Called by themselves, as for pictures, they compute here alone; within a step the strategy of the VAE holds.
        self.encoder._distribute_strategy = self.decoder._distribute_strategy = None
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
        self.reset_evaluation_noise()
        return super().evaluate(*args, **kwargs)

    def reset_evaluation_noise(self) -> None:
        """Begins the noise of `test_step` anew."""
        self.evaluation_seed_generator.state.assign([self.seed + 1, 0])  # as `SeedGenerator` begins

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Builds every part.

        Args:
            input_shape: Of the data, `(None, height, width, channels)` or `(None, features)`.

        Raises:
            ValueError: The encoder or decoder does not put out what the posterior or likelihood needs.
        """
        params_size = self.posterior.params_size(self.prior.latent_dim)
        latent_shape = (None, self.prior.latent_dim)
        likelihood_shape = (*input_shape[1:-1], self.likelihood.params_size(input_shape[-1]))
        for part, shape in (
            (self.encoder, self._network_shape(input_shape)),
            (self.decoder, self._network_shape(latent_shape)),
            (self.posterior, (None, params_size)),
            (self.prior, latent_shape),
            (self.likelihood, input_shape),
            (self.objective, None),
        ):
            if not part.built:
                part.build(shape)
        _check_output("encoder", self.encoder, self._network_shape(input_shape), (params_size,))
        _check_output("decoder", self.decoder, self._network_shape(latent_shape), likelihood_shape)
        self.example_shape = tuple(input_shape[1:])
        self.built = True

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The three trackers; Keras resets them at the start of every epoch."""
        return [self.loss_tracker, self.reconstruction_loss_tracker, self.kl_loss_tracker]

    def elbo_terms(
        self,
        inputs: keras.KerasTensor,
        *,
        target: keras.KerasTensor | None = None,
        labels: keras.KerasTensor | None = None,
        num_samples: int = 1,
        training: bool = False,
        seed: Seed | None = None,
    ) -> Terms:
        """Returns the terms of the ELBO; training, testing and evaluation all go through here.

        Args:
            inputs: What the encoder sees `(B, H, W, C)`.
            target: What the likelihood is of, in the same shape; by default the inputs.
            labels: Classes `(B,)`, for a conditional model.
            num_samples: Posterior draws K per example.
            training: Whether batch normalization uses the batch and updates its averages.
            seed: Source of the noise; by default the model's own generator, which moves on.

        Returns:
            `Terms` for K draws of B examples, in nats.
        """
        params, z, decoded = self.draw(inputs, labels=labels, num_samples=num_samples, training=training, seed=seed)
        return Terms(
            log_likelihood=self.likelihood.log_prob(decoded, inputs if target is None else target),
            log_prior=self.prior.log_prob(z),
            log_posterior=self.posterior.log_prob(params, z),
            kl=self.prior.kl(self.posterior, params, z),
            z=z,
        )

    def draw(
        self,
        inputs: keras.KerasTensor,
        *,
        labels: keras.KerasTensor | None = None,
        num_samples: int = 1,
        training: bool = False,
        seed: Seed | None = None,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        """Returns the posterior's parameters `(B, P)`, draws `(K, B, Z)`, and likelihood parameters `(K, B, H, W, P)`.

        The arguments are those of `elbo_terms`.
        """
        params = self.posterior_params(inputs, labels, training=training)
        batch_size = ops.shape(params)[0]
        repeated = ops.broadcast_to(params, (num_samples, *ops.shape(params)))
        z = self.posterior.sample(repeated, self.seed_generator if seed is None else seed)
        flat = ops.reshape(z, (num_samples * batch_size, self.prior.latent_dim))
        decoded = self.likelihood_params(flat, None if labels is None else ops.tile(labels, [num_samples]), training)
        return params, z, ops.reshape(decoded, (num_samples, batch_size, *decoded.shape[1:]))

    def posterior_params(
        self, inputs: keras.KerasTensor, labels: keras.KerasTensor | None = None, training: bool = False
    ) -> keras.KerasTensor:
        """Returns the raw posterior parameters, float32 `(B, P)`, of data `(B, H, W, C)`."""
        return ops.cast(self.encoder(self._network_input(inputs, labels), training=training), "float32")

    def likelihood_params(
        self, z: keras.KerasTensor, labels: keras.KerasTensor | None = None, training: bool = False
    ) -> keras.KerasTensor:
        """Returns the raw likelihood parameters `(B, H, W, P)` of latents `(B, Z)`."""
        return self.decoder(self._network_input(z, labels), training=training)

    def call(self, inputs: Any, training: bool = False) -> keras.KerasTensor:
        """Returns the reconstruction `(B, H, W, C)` of data, or of `[data, labels]`, through the posterior mean."""
        x, labels = self._data_and_labels(inputs)
        z = self.posterior.mean(self.posterior_params(x, labels, training))
        return self.likelihood.mean(self.likelihood_params(z, labels, training))

    def train_step(self, data: Any) -> dict[str, keras.KerasTensor]:
        """Makes one update of the weights on a batch and returns the running means of the epoch."""
        replicas.apply(self.optimizer, self.gradients(data), self.trainable_weights)
        return self._means()

    def gradients(self, data: Any) -> list[keras.KerasTensor]:
        """Returns the gradients of the mean loss of a batch, of all replicas together, and tracks the losses.

        Args:
            data: As `fit` hands it on.

        Returns:
            One for each of `trainable_weights`, times the scale that the optimizer gives the loss.
        """
        seen = self.observed(data)
        count = ops.shape(seen.inputs)[0]
        batch_size = replicas.total(count)
        if self.micro_batch_size is None:
            gradients = self._gradients(seen, self.seed_generator, batch_size)
        else:  # with the noise that the whole batch would have
            noise = standard_normal((1, count, self.prior.latent_dim), self.seed_generator)
            gradients = summed_over_parts(
                lambda *part: self._gradients(Observed(*part[:-1]), Noise(part[-1][None]), batch_size),
                (*seen, noise[0]),
                self.micro_batch_size,
                self.trainable_weights,
            )
        return replicas.total(gradients)

    def _gradients(self, seen: Observed, noise: Seed, batch_size: Any) -> list[keras.KerasTensor]:
        """Returns what some examples add to the gradients of the mean loss of a batch, and tracks their losses."""

        def scaled_loss() -> tuple[Any, tuple[Any, Terms]]:
            terms = self.elbo_terms(seen.inputs, target=seen.target, labels=seen.labels, training=True, seed=noise)
            per_example = self.objective(terms) + ops.sum(self.losses)  # plus the layers' own regularizers
            loss = ops.sum(per_example) / ops.cast(batch_size, per_example.dtype)
            return self.optimizer.scale_loss(loss), (per_example, terms)

        gradients, (per_example, terms) = compiled.gradients(scaled_loss, self.trainable_weights)
        self._track(per_example, terms)
        return gradients

    def test_step(self, data: Any) -> dict[str, keras.KerasTensor]:
        """Measures a batch, with beta 1 and batch normalization at its averages."""
        seen, noise = self.observed(data), self.evaluation_seed_generator
        terms = self.elbo_terms(seen.inputs, target=seen.target, labels=seen.labels, seed=noise)
        self._track(terms.negative_elbo(), terms)
        return self._means()

    def _track(self, loss: keras.KerasTensor, terms: Terms) -> None:
        """Adds one value per example `(B,)` to each mean, so that a short last batch weighs right."""
        self.loss_tracker.update_state(loss)
        self.reconstruction_loss_tracker.update_state(terms.reconstruction_loss())
        self.kl_loss_tracker.update_state(terms.kl)

    def _means(self) -> dict[str, keras.KerasTensor]:
        return {metric.name: metric.result() for metric in self.metrics}

    def observed(self, data: Any) -> Observed:
        """Returns the parts of a batch as `fit` hands it on.

        Args:
            data: `x`, `(x,)` or `(x, target)`, where x is `[x, labels]` for a conditional model.

        Raises:
            ValueError: There are sample weights, or the target is no match of the data.
            TypeError: The labels of a conditional model are missing.
        """
        inputs, target, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise ValueError("A VAE takes no sample weights. Received: some; call fit(x)")
        x, labels = self._data_and_labels(inputs)
        if target is not None and tuple(target.shape[1:]) != tuple(x.shape[1:]):
            raise ValueError(
                "The target of a VAE is data of the same shape; classes go beside the data, in fit([x, labels]). "
                f"Received: {tuple(target.shape)} for {tuple(x.shape)}"
            )
        return Observed(x, x if target is None else target, labels)

    def _data_and_labels(self, inputs: Any) -> tuple[keras.KerasTensor, keras.KerasTensor | None]:
        if self.num_classes is None:
            if isinstance(inputs, (list, tuple)):
                raise TypeError("This VAE takes data alone: it is not conditional. Received: a list; call fit(x)")
            return inputs, None
        if not isinstance(inputs, (list, tuple)):
            raise TypeError("A conditional VAE needs [x, labels]. Received: x alone; call fit([x, labels])")
        x, labels = inputs
        return x, labels

    def _network_input(self, values: keras.KerasTensor, labels: keras.KerasTensor | None) -> Any:
        """What encoder and decoder take: the values, beside one-hot labels where the model is conditional."""
        self._check_has_labels(labels)
        if self.num_classes is None:
            return values
        return [ops.convert_to_tensor(values), one_hot(labels, self.num_classes)]

    def _network_shape(self, shape: tuple[Any, ...]) -> Any:
        """The shape, or shapes, of `_network_input`."""
        return shape if self.num_classes is None else [shape, (None, self.num_classes)]

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
        given = {name: getattr(self, name) for name in ("seed", "num_classes", "micro_batch_size")}
        return {**super().get_config(), **parts, **given}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Returns the model that `get_config` describes, with fresh weights."""
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in PARTS}
        return cls(**{**config, **parts})


def _check_output(name: str, network: keras.Model, input_shape: Any, needed: tuple[Any, ...]) -> None:
    given = tuple(network.compute_output_shape(input_shape))[1:]
    if given != needed:
        raise ValueError(f"The {name} must put out {needed} for each example. Received: {given}")
