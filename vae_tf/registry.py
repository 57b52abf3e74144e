"""The registry: maps every name that a user can choose to the import path of its code.

This module imports none of that code, so that names can be checked before TensorFlow loads. To add a dataset, network
or likelihood, write its code and add one line below.
"""

import importlib
from typing import Any

from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

DATASETS = {
    "fashion_mnist_sample": "vae_tf.data.array_files:load_fashion_mnist_sample",
    "fashion_mnist": "vae_tf.data.standard:load_fashion_mnist",
    "mnist": "vae_tf.data.standard:load_mnist",
    "cifar10": "vae_tf.data.standard:load_cifar10",
    "stl10": "vae_tf.data.standard:load_stl10",
    "stl10_unlabeled": "vae_tf.data.standard:load_stl10_unlabeled",
    "folder": "vae_tf.data.folders:load_folder",
    "npz": "vae_tf.data.array_files:load_npz",
    "npy": "vae_tf.data.array_files:load_npy",
    "moons": "vae_tf.data.standard:load_moons",
    "circles": "vae_tf.data.standard:load_circles",
    "blobs": "vae_tf.data.standard:load_blobs",
}
TOY_DATASETS = ("moons", "circles", "blobs")
# The value of arch in the config of a model that was built in Python; there is no such network to choose.
CUSTOM = "custom"
NETWORKS = {
    "conv": "vae_tf.model.network.conv:ConvNetwork",
    "dense": "vae_tf.model.network.dense:DenseNetwork",
}
LIKELIHOODS = {
    "bernoulli": "vae_tf.model.likelihood.bernoulli:Bernoulli",
    "gaussian": "vae_tf.model.likelihood.gaussian:Gaussian",
    "learned_gaussian": "vae_tf.model.likelihood.gaussian:LearnedGaussian",
    "continuous_bernoulli": "vae_tf.model.likelihood.bernoulli:ContinuousBernoulli",
    "logistic_mixture": "vae_tf.model.likelihood.logistic:DiscretizedLogisticMixture",
}
# Each target is a function (config, example_shape, num_classes, params_size) -> latent model.
LATENTS = {
    "flat": "vae_tf.model.latents.flat:build_flat_latents",
}
POSTERIORS = {
    "diagonal_normal": "vae_tf.model.posterior.diagonal_normal:DiagonalNormal",
}
PRIORS = {
    "standard_normal": "vae_tf.model.prior.standard_normal:StandardNormal",
    "mixture": "vae_tf.model.prior.mixture:GaussianMixturePrior",
}
OBJECTIVES = {
    "elbo": "vae_tf.model.objective.elbo:ELBO",
    "free_bits": "vae_tf.model.objective.free_bits:FreeBits",
}
# The value of --sampler that selects the prior instead of a fitted sampler.
PRIOR = "prior"
SAMPLERS = {
    "gmm": "vae_tf.model.sampler.gmm:GaussianMixtureSampler",
}
# The parts of a model that a user can choose, keyed by the option that selects them.
PARTS = {
    "arch": NETWORKS,
    "latents": LATENTS,
    "posterior": POSTERIORS,
    "prior": PRIORS,
    "likelihood": LIKELIHOODS,
    "objective": OBJECTIVES,
    "sampler": SAMPLERS,
}
# The options classes of parts that have options, keyed by the option that selects the part and the part's name.
OPTIONS = {
    ("arch", "dense"): "vae_tf.config.parts:DenseOptions",
    ("prior", "mixture"): "vae_tf.config.parts:MixtureOptions",
    ("likelihood", "gaussian"): "vae_tf.config.parts:GaussianOptions",
    ("likelihood", "learned_gaussian"): "vae_tf.config.parts:GaussianOptions",
    ("objective", "free_bits"): "vae_tf.config.parts:FreeBitsOptions",
    ("sampler", "gmm"): "vae_tf.config.parts:GMMOptions",
}
# Modality-specific code, keyed by the name of the modality.
PREPROCESSORS = {"image": "vae_tf.data.pipeline:resize_and_convert", "row": None}
FIGURES = {"image": "vae_tf.plots.figures:IMAGE_FIGURES", "row": "vae_tf.plots.figures:POINT_FIGURES"}
SAMPLE_METRICS = {"image": "vae_tf.metrics.suite:ImageSampleMetrics", "row": "vae_tf.metrics.rows:RowSampleMetrics"}
RECONSTRUCTION_METRICS = {
    "image": "vae_tf.metrics.reconstruction:IMAGE_METRICS",
    "row": "vae_tf.metrics.reconstruction:ROW_METRICS",
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
# The losses that training and validation always report, in nats per example.
LOSSES = ("loss", "reconstruction_loss", "kl_loss")
VARIANTS = ("plain", "bn")
VARIANT_ALIASES = {"v1": "plain", "v2": "bn"}
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh")


def register(kind: str, name: str, target: str, options: str | None = None) -> None:
    """Registers a part that is defined outside the package, for the current process.

    Args:
        kind: `"arch"`, `"latents"`, `"posterior"`, `"prior"`, `"likelihood"`, `"objective"` or `"sampler"`.
        name: The name by which users select the part.
        target: Import path of the part's class, as `"module:Class"`; it is imported on first use.
        options: Import path of the class of the part's options, as `"module:Class"`; it must be a subclass of
            `vae_tf.config.parts.PartOptions`. By default the part has no options.

    Raises:
        InputError: `kind` is unknown, or `name` is already registered.

    Example:
        >>> vae_tf.register("prior", "laplace", "my_package.priors:Laplace")
        >>> vae_tf.build_vae((28, 28, 1), prior="laplace")
    """
    check_name("kind", kind, PARTS)
    if name in PARTS[kind]:
        raise InputError(f"{kind}={name} is already registered as {PARTS[kind][name]}; choose another name")
    PARTS[kind][name] = target
    if options is not None:
        OPTIONS[kind, name] = options


def resolve(target: str) -> Any:
    """Imports and returns the object at an import path, `"module:name"`."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
