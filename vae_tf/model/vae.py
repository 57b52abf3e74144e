"""The variational autoencoder: a latent model, a likelihood and an objective."""

from typing import Any, Self

import keras
from keras import ops

from vae_tf.backend import compiled, replicas
from vae_tf.backend.micro_batches import sum_over_micro_batches
from vae_tf.backend.step_counter import StepCounter
from vae_tf.model.batch import Batch
from vae_tf.model.checked_model import CheckedModel
from vae_tf.model.checks import check_integer
from vae_tf.model.latents import LatentModel
from vae_tf.model.likelihood import Likelihood
from vae_tf.model.noise import Seed
from vae_tf.model.numpy_methods import NumpyMethodsMixin
from vae_tf.model.objective import Objective
from vae_tf.model.posterior import Posterior
from vae_tf.model.prior import Prior
from vae_tf.model.terms import Inferred, Terms
from vae_tf.registry import LOSSES

NOISE_STATE, STEP = "seed_generator_state", "step"
PARTS = ("latents", "likelihood", "objective")


@keras.saving.register_keras_serializable(package="vae_tf")
class VAE(NumpyMethodsMixin, CheckedModel):
    """A variational autoencoder (Kingma & Welling 2014) composed of interchangeable parts.

    Call `compile(optimizer)` without a loss, then `fit(x)` with only the data, `fit(corrupted, x)` to learn to restore
    corrupted data (Im et al. 2017), or `fit([x, labels])` if the model is conditional. Training reports `loss` (the
    objective plus any regularization losses of the layers), `reconstruction_loss` and `kl_loss`; `evaluate` and `val_*`
    report the negative ELBO as `loss`, and its two terms. All values are in nats per example.

    Shapes are those of images, `(B, H, W, C)`; rows of features have shape `(B, F)` instead. A conditional model
    p(x | class) (Sohn et al. 2015) needs `labels` in every method, integers `(B,)` in [0, num_classes); other models do
    not accept labels.

    Args:
        latents: The latent model, which infers, decodes and generates latents.
        likelihood: The likelihood, which interprets the decoder's outputs.
        objective: The training objective.
        seed: Random seed for the posterior noise. Training draws its noise from one generator; every call of `evaluate`
            resets a second generator, so that evaluation is repeatable and does not affect training.
        micro_batch_size: If set, a training step accumulates the gradients of its batch over micro-batches of this many
            examples; the last micro-batch has the remainder. The update is the same and needs less memory, except that
            batch normalization normalizes each micro-batch separately. Can be changed until training starts.
        **kwargs: Passed to `keras.Model`.

    Raises:
        ValueError: `micro_batch_size` is below 1.

    Example:
        >>> vae = vae_tf.build_vae((28, 28, 1), latent_dim=16, arch="dense")
        >>> vae.compile(keras.optimizers.Adam(1e-3))
        >>> (x_train, _), (x_test, _) = vae_tf.load_arrays()
        >>> vae.fit(x_train, batch_size=128, epochs=1)
        >>> vae.sample(8).shape
        (8, 28, 28, 1)
    """

    def __init__(
        self,
        latents: LatentModel,
        likelihood: Likelihood,
        objective: Objective,
        seed: int = 0,
        micro_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.micro_batch_size = (
            None if micro_batch_size is None else check_integer("micro_batch_size", micro_batch_size, 1)
        )
        self.latents = latents
        self.likelihood = likelihood
        self.objective = objective
        self.seed = seed = check_integer("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.evaluation_seed_generator = keras.random.SeedGenerator(seed + 1)
        self.step_counter = StepCounter()
        names = (*LOSSES, *latents.loss_names, *objective.extra_names)
        self.trackers = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def encoder(self) -> keras.Model:
        """The network from data to posterior parameters."""
        return self.latents.encoder

    @property
    def decoder(self) -> keras.Model:
        """The network from latents to likelihood parameters."""
        return self.latents.decoder

    @property
    def posterior(self) -> Posterior:
        """The posterior of a model with flat latents."""
        return self.latents.posterior

    @property
    def prior(self) -> Prior:
        """The prior of a model with flat latents."""
        return self.latents.prior

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Like `keras.Model.compile`, but takes no loss, no metrics and no weights for them."""
        super().compile(*args, **kwargs)
        self.clear_compiled_functions()

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Like `keras.Model.quantize`."""
        super().quantize(*args, **kwargs)
        self.clear_compiled_functions()

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Like `keras.Model.evaluate`, but uses the same posterior noise in every call."""
        self.reset_evaluation_noise()
        return super().evaluate(*args, **kwargs)

    def reset_evaluation_noise(self) -> None:
        """Resets the noise generator of `test_step` to its initial state."""
        self.evaluation_seed_generator.state.assign([self.seed + 1, 0])  # the initial state of a `SeedGenerator`

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Builds every part.

        Args:
            input_shape: Shape of the data, `(None, height, width, channels)` or `(None, features)`; Keras passes it in
                a list with the shape of the labels if the model is conditional.

        Raises:
            ValueError: The output of a network has the wrong shape for the posterior or the likelihood.
        """
        if isinstance(input_shape[0], list | tuple):
            input_shape = tuple(input_shape[0])
        self.latents.build_from_example_shape(tuple(input_shape[1:]), self.likelihood.params_size(input_shape[-1]))
        for part, shape in ((self.likelihood, input_shape), (self.objective, None)):
            if not part.built:
                part.build(shape)
        self.example_shape = tuple(input_shape[1:])
        self.built = True

    @property
    def training_only_metrics(self) -> tuple[str, ...]:
        """The names of the metrics that `test_step` does not report."""
        return self.objective.extra_names

    def elbo_terms(
        self,
        inputs: keras.KerasTensor,
        *,
        target: keras.KerasTensor | None = None,
        labels: keras.KerasTensor | None = None,
        num_samples: int = 1,
        training: bool = False,
        seed: Seed | None = None,
        noise: keras.KerasTensor | None = None,
    ) -> Terms:
        """Returns the terms of the ELBO; training, testing and evaluation all use this method.

        Args:
            inputs: Inputs of the encoder `(B, H, W, C)`.
            target: The data that the likelihood scores, in the same shape; by default the inputs.
            labels: Classes `(B,)`, for a conditional model.
            num_samples: Number of posterior samples K per example.
            training: Whether batch normalization uses batch statistics and updates its moving statistics.
            seed: Seed of the noise; by default the model's own generator, whose state advances.
            noise: Noise from `latents.noise`, to use instead of `num_samples` and `seed`.

        Returns:
            `Terms` for K samples of B examples, in nats.
        """
        self._check_has_labels(labels)
        if noise is None:
            source = self.seed_generator if seed is None else seed
            noise = self.latents.noise(ops.shape(inputs)[0], num_samples, source)
        target = inputs if target is None else target
        inferred = self.latents.infer(inputs, labels, noise, training)
        return Terms(
            inferred, self.likelihood.log_prob(self.decode_samples(inferred, labels, target, training), target)
        )

    def decode_samples(
        self,
        inferred: Inferred,
        labels: keras.KerasTensor | None,
        target: keras.KerasTensor | None = None,
        training: bool = False,
    ) -> keras.KerasTensor:
        """Returns the raw likelihood parameters `(K, B, H, W, P)` of inferred samples; see `elbo_terms`."""
        if inferred.decoded is not None:
            return inferred.decoded
        num_samples, batch_size, latent_dim = ops.shape(inferred.z)
        z = ops.reshape(inferred.z, (num_samples * batch_size, latent_dim))
        tiled = None if labels is None else ops.tile(labels, [num_samples])
        targets = None
        if self.latents.needs_target and target is not None and training:
            targets = ops.tile(target, [num_samples, *[1] * (len(target.shape) - 1)])
        decoded = self.latents.decode(z, tiled, targets, training)
        return ops.reshape(decoded, (num_samples, batch_size, *decoded.shape[1:]))

    def call(self, inputs: Any, training: bool = False) -> keras.KerasTensor:
        """Returns the reconstruction `(B, H, W, C)` of `x`, or of `[x, labels]`, from the posterior mean."""
        x, labels = self.unpack_inputs(inputs)
        z = self.latents.representation(x, labels)
        return self.likelihood.mean(self.latents.decode(z, labels, training=training))

    def gradients(self, data: Any) -> list[keras.KerasTensor]:
        """Returns the gradients of a batch's mean loss, summed over all replicas, and tracks the losses.

        Args:
            data: A batch, as `fit` passes it.

        Returns:
            One gradient for each of `trainable_weights`, multiplied by the optimizer's loss scale.
        """
        if self.micro_batch_size is not None and self.objective.mixes_examples:
            raise ValueError(
                "The objective computes its loss over the whole batch, so micro-batches can't be used. "
                f"Received: micro_batch_size={self.micro_batch_size}; omit micro_batch_size"
            )
        batch = self.unpack_batch(data)
        count = ops.shape(batch.inputs)[0]
        batch_size = replicas.sum_over_replicas(count)
        noise = self.latents.noise(count, self.objective.num_samples, self.seed_generator)
        if self.micro_batch_size is None:
            gradients = self._gradients(batch, noise, batch_size)
        else:  # the noise is the same as for the whole batch
            gradients = sum_over_micro_batches(
                lambda *part: self._gradients(Batch(*part[:-1]), ops.swapaxes(part[-1], 0, 1), batch_size),
                (*batch, ops.swapaxes(noise, 0, 1)),
                self.micro_batch_size,
                self.trainable_weights,
            )
        self.step_counter.increment()
        return replicas.sum_over_replicas(gradients)

    def _gradients(
        self, batch: Batch, noise: keras.KerasTensor, batch_size: keras.KerasTensor
    ) -> list[keras.KerasTensor]:
        """Returns the contribution of these examples to the gradients of the batch's mean loss; tracks their losses."""

        def scaled_loss() -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
            terms = self.elbo_terms(batch.inputs, target=batch.target, labels=batch.labels, training=True, noise=noise)
            loss, extras = self.objective.call(terms, self.step_counter.value)
            # `losses` are the regularization losses of the layers.
            per_example = terms.add_latent_losses(loss) + ops.sum(self.losses)
            mean = ops.sum(per_example) / ops.cast(batch_size, per_example.dtype)
            values = {**terms.losses_by_name(per_example), **extras}
            return self.optimizer.scale_loss(mean), values

        gradients, values = compiled.gradients(scaled_loss, self.trainable_weights)
        self._track(values)
        return gradients

    def test_step(self, data: Any) -> dict[str, keras.KerasTensor]:
        """Evaluates a batch with beta 1 and with the moving statistics of batch normalization."""
        batch, seed = self.unpack_batch(data), self.evaluation_seed_generator
        self.record_ranges(batch)
        terms = self.elbo_terms(batch.inputs, target=batch.target, labels=batch.labels, seed=seed)
        loss = terms.negative_elbo()
        if terms.inferred.log_prior is None:  # without a prior there is no ELBO
            loss = terms.add_latent_losses(loss)
        self._track(terms.losses_by_name(loss))
        return {name: mean for name, mean in self._means().items() if name not in self.objective.extra_names}

    def save_own_variables(self, store: Any) -> None:
        """Also stores the noise state and the step count, which Keras leaves out, so that training can continue."""
        super().save_own_variables(store)
        store[NOISE_STATE] = ops.convert_to_numpy(self.seed_generator.state)
        store[STEP] = ops.convert_to_numpy(self.step_counter.variable)

    def load_own_variables(self, store: Any) -> None:
        """Loads what `save_own_variables` stored."""
        own = (NOISE_STATE, STEP)
        super().load_own_variables({key: store[key] for key in store.keys() if key not in own})  # noqa: SIM118  # not a dict
        self.seed_generator.state.assign(store[NOISE_STATE])
        self.step_counter.variable.assign(store[STEP])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with serialized parts."""
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS}
        return {**super().get_config(), **parts, "seed": self.seed, "micro_batch_size": self.micro_batch_size}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Returns the model that `get_config` describes, with newly initialized weights."""
        parts = {name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in PARTS}
        return cls(**{**config, **parts})
