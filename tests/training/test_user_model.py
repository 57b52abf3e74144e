"""The config of a model that the user built."""

import keras
import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.model.latents.flat import FlatLatents
from vae_tf.model.likelihood.bernoulli import Bernoulli
from vae_tf.model.objective.elbo import ELBO
from vae_tf.model.posterior.diagonal_normal import DiagonalNormal
from vae_tf.model.prior.standard_normal import StandardNormal
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError
from vae_tf.training.user_model import describe_model

SHAPE = (8, 10, 1)


@pytest.fixture
def describe(images):
    """Returns the config that a model gets with the data of `images`."""
    config = RunConfig(dataset="npz", data_dir=str(images / "images.npz"), batch_size=50, epochs=3)

    def described(model, **options):
        current = config.model_copy(update=options)
        return describe_model(model, current, load_splits(current))

    return described


def test_the_options_of_the_parts_are_those_of_the_model(describe):
    config = describe(
        vae_tf.build_vae(
            SHAPE,
            latent_dim=3,
            arch="dense",
            batch_norm_momentum=0.8,
            likelihood="gaussian",
            sigma=0.25,
            prior="mixture",
            prior_components=4,
            objective="free_bits",
            objective_free_bits=0.5,
            beta=2.0,
            kl_schedule="linear",
            kl_warmup_steps=6,
            dtype_policy="mixed_bfloat16",
        )
    )

    expected = {
        "arch": "custom",
        "variant": "bn",
        "batch_norm_momentum": 0.8,
        "latent_dim": 3,
        "latents": "flat",
        "posterior": "diagonal_normal",
        "prior": "mixture",
        "prior_components": 4,
        "likelihood": "gaussian",
        "sigma": 0.25,
        "objective": "free_bits",
        "objective_free_bits": 0.5,
        "beta": 2.0,
        "kl_schedule": "linear",
        "kl_warmup_epochs": 2.0,  # 135 training images are 3 batches
        "precision": "mixed_bfloat16",
        "epochs": 3,
        "batch_size": 50,
    }
    assert {name: getattr(config, name) for name in expected} == expected
    assert not hasattr(config, "hidden_sizes")


def own_model(encoder_layers, likelihood=None):
    encoder = keras.Sequential([keras.Input(SHAPE), *encoder_layers, keras.layers.Dense(4)])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(80), keras.layers.Reshape(SHAPE)])
    latents = FlatLatents(encoder, decoder, DiagonalNormal(), StandardNormal(2))
    model = VAE(latents, likelihood or Bernoulli(), ELBO())
    model.build((None, *SHAPE))
    return model


def test_batch_normalization_is_found_in_networks_inside_the_encoder(describe):
    flatten, normalization = keras.layers.Flatten(), keras.layers.BatchNormalization(momentum=0.5)
    inner = keras.Sequential([keras.Input((80,)), keras.layers.Dense(3), normalization])

    assert describe(own_model([flatten])).variant == "plain"
    config = describe(own_model([flatten, inner]))
    assert (config.variant, config.batch_norm_momentum) == ("bn", 0.5)


def test_a_model_for_other_data_is_refused(describe):
    with pytest.raises(InputError, match=r"model must be for examples of the data's shape, \(8, 10, 1\)"):
        describe(vae_tf.build_vae((8, 8, 1), arch="dense"))
    with pytest.raises(InputError, match=r"model must be for the 3 classes of the data\. Received: num_classes=4"):
        describe(vae_tf.build_vae(SHAPE, arch="dense", num_classes=4))


@keras.saving.register_keras_serializable(package="tests")
class Halved(Bernoulli):
    pass


def test_a_part_that_is_not_registered_is_refused_and_a_registered_one_is_named(describe, register):
    model = own_model([keras.layers.Flatten()], Halved())

    with pytest.raises(
        InputError, match=r"The model's likelihood must be registered.*Received: Halved; call vae_tf\.re"
    ):
        describe(model)
    register("likelihood", "halved", f"{__name__}:Halved")
    assert describe(model).likelihood == "halved"


def test_the_toy_datasets_take_a_model_without_the_options_of_the_dense_network():
    model = vae_tf.build_vae((2,), latent_dim=5, arch="dense", variant="plain", likelihood="gaussian", sigma=0.5)
    config = RunConfig(dataset="moons")

    described = describe_model(model, config, load_splits(config))
    assert (described.arch, described.latent_dim, described.sigma) == ("custom", 5, 0.5)
    assert not np.isin("hidden_sizes", list(described.model_dump()))
