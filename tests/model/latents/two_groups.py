"""A latent model with two groups, for the tests next to it: z2 first, then z1 given z2."""

import keras
import numpy as np
from keras import ops

from vae_tf.model.latents import LatentModel
from vae_tf.model.terms import Inferred

HIDDEN = 12
SIZES = {"z1": 2, "z2": 1}


def normal_log_prob(z, mean, log_var):
    return -0.5 * ops.sum(ops.square(z - mean) * ops.exp(-log_var) + log_var + np.log(2 * np.pi), axis=-1)


def normal_kl(mean, log_var, prior_mean, prior_log_var):
    ratio = (ops.exp(log_var) + ops.square(mean - prior_mean)) * ops.exp(-prior_log_var)
    return 0.5 * (ratio - 1.0 + prior_log_var - log_var)


@keras.saving.register_keras_serializable(package="two_groups")
class TwoGroups(LatentModel):
    def __init__(self, example_shape, params_size, **kwargs):
        super().__init__(**kwargs)
        self.num_classes, self.latent_dim = None, 3
        self.groups = {"z1": slice(0, 2), "z2": slice(2, 3)}
        self.example_shape, self.params_size = tuple(example_shape), params_size
        self.encoder = keras.Sequential(
            [keras.Input(self.example_shape), keras.layers.Flatten(), keras.layers.Dense(HIDDEN, "relu")]
        )
        decoded = (*self.example_shape[:-1], params_size)
        self.decoder = keras.Sequential(
            [
                keras.Input((self.latent_dim,)),
                keras.layers.Dense(HIDDEN, "relu"),
                keras.layers.Dense(int(np.prod(decoded))),
                keras.layers.Reshape(decoded),
            ]
        )
        self.upper, self.lower, self.prior_of_lower = (
            keras.layers.Dense(2 * SIZES[name]) for name in ("z2", "z1", "z1")
        )

    def build_from_example_shape(self, example_shape, params_size):
        self.upper.build((None, HIDDEN))
        self.lower.build((None, HIDDEN + SIZES["z2"]))
        self.prior_of_lower.build((None, SIZES["z2"]))
        self.built = True

    def infer(self, x, labels, noise, training=False):
        h = self.encoder(x, training=training)
        num_samples, batch_size = ops.shape(noise)[:2]
        mean2, log_var2 = ops.split(self.upper(h), 2, axis=-1)
        z2 = mean2 + ops.exp(0.5 * log_var2) * noise[..., self.groups["z2"]]
        tiled = ops.broadcast_to(h, (num_samples, batch_size, HIDDEN))
        mean1, log_var1 = ops.split(self.lower(ops.concatenate([tiled, z2], axis=-1)), 2, axis=-1)
        z1 = mean1 + ops.exp(0.5 * log_var1) * noise[..., self.groups["z1"]]
        prior_mean, prior_log_var = ops.split(self.prior_of_lower(z2), 2, axis=-1)
        kl1 = ops.mean(normal_kl(mean1, log_var1, prior_mean, prior_log_var), axis=0)
        return Inferred(
            z=ops.concatenate([z1, z2], axis=-1),
            log_posterior=normal_log_prob(z1, mean1, log_var1) + normal_log_prob(z2, mean2, log_var2),
            log_prior=normal_log_prob(z1, prior_mean, prior_log_var) + normal_log_prob(z2, 0.0, ops.zeros_like(z2)),
            kl={"z1": kl1, "z2": normal_kl(mean2, log_var2, 0.0, ops.zeros_like(log_var2))},
        )

    def decode(self, z, labels, target=None, training=False):
        return self.decoder(z, training=training)

    def sample(self, n, labels, seed, temperature=1.0):
        noise = temperature * keras.random.normal((n, self.latent_dim), dtype="float32", seed=seed)
        z2 = noise[:, self.groups["z2"]]
        mean, log_var = ops.split(self.prior_of_lower(z2), 2, axis=-1)
        return ops.concatenate([mean + ops.exp(0.5 * log_var) * noise[:, self.groups["z1"]], z2], axis=-1)

    def representation(self, x, labels):
        return self.infer(x, labels, ops.zeros((1, ops.shape(x)[0], self.latent_dim))).z[0]

    def kl_per_dimension(self, inferred):
        return ops.concatenate([inferred.kl["z1"], inferred.kl["z2"]], axis=-1)

    def bytes_per_sample(self):
        return 4 * int(np.prod(self.example_shape)) * self.params_size

    def get_config(self):
        return {**super().get_config(), "example_shape": self.example_shape, "params_size": self.params_size}


def two_groups(config, example_shape, num_classes, params_size):
    return TwoGroups(example_shape, params_size, name="latents")
