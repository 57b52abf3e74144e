"""The model and its parts; importing this package registers all of them with Keras.

After `import vae_tf.model`, `keras.saving.load_model("model.keras")` therefore restores a model in safe mode.
"""

import keras

from vae_tf import registry
from vae_tf.backend.adam import Adam
from vae_tf.model.build import build_vae
from vae_tf.model.latents import FlatLatents, LatentModel
from vae_tf.model.likelihood import (
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogisticMixture,
    Gaussian,
    LearnedGaussian,
    Likelihood,
)
from vae_tf.model.network.conv import ConvNetwork
from vae_tf.model.network.dense import DenseNetwork
from vae_tf.model.objective import ELBO, Objective
from vae_tf.model.posterior import DiagonalNormal, Posterior
from vae_tf.model.prior import Prior, StandardNormal
from vae_tf.model.terms import Inferred, Terms
from vae_tf.model.vae import VAE

__all__ = [
    "ELBO",
    "VAE",
    "Adam",
    "Bernoulli",
    "ContinuousBernoulli",
    "ConvNetwork",
    "DenseNetwork",
    "DiagonalNormal",
    "DiscretizedLogisticMixture",
    "FlatLatents",
    "Gaussian",
    "Inferred",
    "LatentModel",
    "LearnedGaussian",
    "Likelihood",
    "Objective",
    "Posterior",
    "Prior",
    "StandardNormal",
    "Terms",
    "build_vae",
]

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"vae_tf needs the TensorFlow backend of Keras. Received: the {keras.backend.backend()} backend; "
        "set KERAS_BACKEND=tensorflow before keras is imported"
    )

for _targets in registry.PARTS.values():
    for _target in _targets.values():
        if _target.startswith("vae_tf."):  # parts from other packages are imported on first use
            registry.resolve(_target)
