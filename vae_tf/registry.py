"""Every name a user can choose, and where its code lives.

Nothing is imported here, so that names are checked before TensorFlow loads. A new dataset, backbone or
likelihood is its own code plus one line below.
"""

import importlib
from typing import Any

DATASETS = {
    "fashion_mnist_sample": "vae_tf.data.catalog:load_fashion_mnist_sample",
    "fashion_mnist": "vae_tf.data.named:load_fashion_mnist",
    "mnist": "vae_tf.data.named:load_mnist",
    "cifar10": "vae_tf.data.named:load_cifar10",
    "stl10": "vae_tf.data.named:load_stl10",
    "stl10_unlabeled": "vae_tf.data.named:load_stl10_unlabeled",
    "folder": "vae_tf.data.folders:load_folder",
    "npz": "vae_tf.data.catalog:load_npz",
    "npy": "vae_tf.data.catalog:load_npy",
    "moons": "vae_tf.data.named:load_moons",
    "circles": "vae_tf.data.named:load_circles",
    "blobs": "vae_tf.data.named:load_blobs",
}
TOY_DATASETS = ("moons", "circles", "blobs")
BACKBONES = {
    "conv": "vae_tf.model.network.conv:ConvBackbone",
    "dense": "vae_tf.model.network.dense:DenseBackbone",
}
LIKELIHOODS = {
    "bernoulli": "vae_tf.model.likelihood.bernoulli:Bernoulli",
    "gaussian": "vae_tf.model.likelihood.gaussian:Gaussian",
    "learned_gaussian": "vae_tf.model.likelihood.gaussian:LearnedGaussian",
    "continuous_bernoulli": "vae_tf.model.likelihood.bernoulli:ContinuousBernoulli",
    "logistic_mixture": "vae_tf.model.likelihood.logistic:LogisticMixture",
}
ANOMALY_SCORES = {
    "mahalanobis": "vae_tf.metrics.anomaly:mahalanobis",
    "likelihood_regret": "vae_tf.metrics.anomaly:likelihood_regret",
}
LEARNING_RATE_SCHEDULES = {
    "constant": "vae_tf.training.optimizer:constant",
    "linear": "vae_tf.training.optimizer:linear",
    "cosine": "vae_tf.training.optimizer:cosine",
    "exponential": "vae_tf.training.optimizer:exponential",
}
CORRUPTIONS = ("gaussian", "salt-pepper", "mask")
VARIANTS = ("plain", "bn")
VARIANT_ALIASES = {"v1": "plain", "v2": "bn"}
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh")


def resolve(target: str) -> Any:
    """Imports and returns what a registry entry `"module:name"` points at."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
