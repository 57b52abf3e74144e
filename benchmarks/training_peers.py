"""The contestants of `train_speed.py`: each function creates one and returns a function that runs its steps."""

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from vae_tf.support.quiet_tensorflow import load_tensorflow

Run = Callable[[int], None]

CONV_SHAPE, CONV_LATENT, CONV_BATCH = (50, 50, 1), 128, 128
DENSE_PIXELS, DENSE_HIDDEN, DENSE_LATENT, DENSE_BATCH = 784, 200, 50, 100
NUM_IMAGES = {"conv": 1280, "dense": 60_000}
LEARNING_RATE = 1e-3


def images(case: str) -> np.ndarray:
    """Returns greyscale images, uint8 `(N, H, W, 1)`: noise, since the speed of a step does not depend on the data."""
    shape = CONV_SHAPE if case == "conv" else (28, 28, 1)
    return np.random.default_rng(0).integers(0, 256, (NUM_IMAGES[case], *shape), np.uint8)


def vae_tf(case: str, precision: str) -> Run:
    """Trains this package as its command does, with its pipeline, model, optimizer and loop."""
    load_tensorflow()

    from vae_tf.backend.devices import limit_threads
    from vae_tf.backend.guarded_step import GuardedStep
    from vae_tf.config import RunConfig
    from vae_tf.data import pipeline
    from vae_tf.data.sources.arrays import ArraySource
    from vae_tf.training.loop import StepRunner

    options: dict[str, Any] = {"arch": "conv", "latent_dim": CONV_LATENT, "batch_size": CONV_BATCH}
    if case == "dense":
        options = {
            "arch": "dense",
            "variant": "plain",
            "latent_dim": DENSE_LATENT,
            "batch_size": DENSE_BATCH,
            "hidden_sizes": (DENSE_HIDDEN,) * 2,
            "activation": "tanh",
            "binarize": "dynamic",
        }
    config = RunConfig(**options, precision=precision, learning_rate=LEARNING_RATE)
    examples = ArraySource(images(case), None, 255.0)
    limit_threads(config.fill_in_defaults(examples.example_shape), examples.example_shape)
    model = _compiled(config, examples.example_shape)
    batches = iter(pipeline.training_batches(examples, config, examples.example_shape))
    guard = GuardedStep(model)
    steps = StepRunner(model, guard, guard.may_continue)

    def run(count: int) -> None:
        for _ in steps.run(batches, 0, count):
            pass

    return run


def vae_tf_without(case: str, precision: str, path: str) -> Run:
    """Trains this package with one of its fast paths replaced by what Keras or TensorFlow does."""
    if path == "oneDNN":
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    load_tensorflow()

    import keras
    import tensorflow as tf

    from vae_tf.backend import devices, kernels
    from vae_tf.model import layers

    if path == "fused batch normalization":
        layers.BatchNormalization.call = keras.layers.BatchNormalization.call  # type: ignore[method-assign]
    if path in ("transposed convolutions as convolutions", "both paths of convolutions"):
        kernels.conv_transpose_as_conv = lambda x, kernel: keras.ops.conv_transpose(x, kernel, 1, "same")
    if path in ("bias gradients as products", "both paths of convolutions"):
        kernels.bias_add = tf.nn.bias_add
    if path == "one thread per operation":
        devices.limit_threads = lambda config, example_shape: None
    return vae_tf(case, precision)


def _compiled(config: Any, example_shape: tuple[int, ...]) -> Any:
    from vae_tf.model.build import build_from_config
    from vae_tf.training.optimizer import build_optimizer

    model = build_from_config(config, example_shape, config.seed, dtype_policy=config.precision)
    model.compile(build_optimizer(config, 1), jit_compile=False)
    return model


def keras_fit(case: str, precision: str) -> Run:
    """Trains with Keras's own layers, Adam and `fit`, and a `train_step` like that of keras.io's VAE example."""
    load_tensorflow()

    import keras
    import tensorflow as tf
    from keras import ops

    keras.config.set_dtype_policy(precision)
    encoder, decoder = _keras_networks(case)

    class PlainVAE(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder
            self.seed = keras.random.SeedGenerator(0)
            self.trackers = [keras.metrics.Mean(name) for name in ("loss", "reconstruction_loss", "kl_loss")]

        @property
        def metrics(self) -> list[keras.metrics.Metric]:
            return self.trackers

        def train_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            with tf.GradientTape() as tape:
                mean, log_var = ops.split(self.encoder(x, training=True), 2, axis=-1)
                z = mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.seed)
                logits = self.decoder(z, training=True)
                bernoulli = ops.sum(ops.softplus(logits) - x * logits, axis=(1, 2, 3))
                kl = 0.5 * ops.sum(ops.square(mean) + ops.exp(log_var) - 1 - log_var, axis=-1)
                loss = ops.mean(bernoulli + kl)
            self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            for tracker, value in zip(self.trackers, (loss, bernoulli, kl), strict=True):
                tracker.update_state(value)
            return {tracker.name: tracker.result() for tracker in self.trackers}

    def prepared(grey: tf.Tensor) -> tf.Tensor:
        grey = tf.cast(grey, tf.float32) / 255.0
        return grey if case == "conv" else tf.cast(tf.random.uniform(tf.shape(grey)) < grey, tf.float32)

    model = PlainVAE()
    model.compile(keras.optimizers.Adam(LEARNING_RATE), jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(images(case)).shuffle(NUM_IMAGES[case]).repeat()
    data = data.batch(CONV_BATCH if case == "conv" else DENSE_BATCH).map(prepared, tf.data.AUTOTUNE)
    data = data.prefetch(tf.data.AUTOTUNE)
    return lambda count: model.fit(data, epochs=1, steps_per_epoch=count, verbose=0)


def _keras_networks(case: str) -> list[Any]:
    """Returns the same networks with Keras's layers instead of this package's."""
    import keras

    from vae_tf.model import ConvNetwork, DenseNetwork, layers

    def stock(layer: Any) -> Any:
        for ours in (layers.BatchNormalization, layers.Conv2D, layers.Conv2DTranspose):
            if isinstance(layer, ours):
                return ours.__base__.from_config({**layer.get_config(), **_not_synchronized(layer)})
        return layer.__class__.from_config(layer.get_config())

    if case == "conv":
        conv = ConvNetwork(CONV_SHAPE, batch_norm=True)
        networks = [conv.build_encoder(2 * CONV_LATENT), conv.build_decoder(CONV_LATENT, 1)]
    else:
        dense = DenseNetwork((28, 28, 1), batch_norm=False, hidden_sizes=(DENSE_HIDDEN,) * 2, activation="tanh")
        networks = [dense.build_encoder(2 * DENSE_LATENT), dense.build_decoder(DENSE_LATENT, 1)]
    return [keras.models.clone_model(network, clone_function=stock) for network in networks]


def _not_synchronized(layer: Any) -> dict[str, Any]:
    return {"synchronized": False} if hasattr(layer, "synchronized") else {}


def torch(case: str, precision: str, *, channels_last: bool = False, compiled: bool = False) -> Run:
    """Trains with PyTorch's layers and fused Adam in the usual loop, with the data in memory."""
    import torch
    from torch.nn import functional

    encoder, decoder = _torch_conv() if case == "conv" else _torch_dense()
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    weights = torch.nn.ModuleList([encoder, decoder]).to(memory_format=memory_format)
    optimizer = torch.optim.Adam(weights.parameters(), LEARNING_RATE, fused=True)
    batches = _torch_batches(case)

    def loss_of(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "mixed_bfloat16"):
            mean, log_var = encoder(x).float().chunk(2, dim=1)
            logits = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)).float()
        bernoulli = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (bernoulli + 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()) / len(x)

    loss_function = torch.compile(loss_of) if compiled else loss_of

    def run(count: int) -> None:
        for x in itertools.islice(batches, count):
            optimizer.zero_grad(set_to_none=True)
            loss_function(x.contiguous(memory_format=memory_format) if case == "conv" else x).backward()
            optimizer.step()

    return run


def _torch_batches(case: str) -> Any:
    """Yields endless shuffled batches; in the dense case, the values are drawn 0/1."""
    import torch

    data = torch.from_numpy(images(case)).permute(0, 3, 1, 2)
    data, size = (data, CONV_BATCH) if case == "conv" else (data.flatten(1), DENSE_BATCH)
    while True:
        for rows in torch.randperm(len(data)).split(size):
            if len(rows) == size:
                grey = data[rows].float() / 255
                yield grey if case == "conv" else torch.rand_like(grey).lt(grey).float()


def _torch_dense() -> tuple[Any, Any]:
    from torch import nn

    def stack(*sizes: int) -> nn.Sequential:
        layers = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.Tanh())]
        return nn.Sequential(*layers[:-1])

    hidden = (DENSE_HIDDEN,) * 2
    return stack(DENSE_PIXELS, *hidden, 2 * DENSE_LATENT), stack(DENSE_LATENT, *hidden, DENSE_PIXELS)


def _torch_conv() -> tuple[Any, Any]:
    from torch import nn

    encoder: list[nn.Module] = []
    for channels, filters in itertools.pairwise((1, 32, 64, 128)):
        encoder += [nn.Conv2d(channels, filters, 3, 2, 1), nn.ReLU(), nn.BatchNorm2d(filters)]
    encoder += [nn.Flatten(), nn.Linear(7 * 7 * 128, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU()]
    encoder += [nn.Linear(256, 2 * CONV_LATENT)]
    decoder = [nn.Linear(CONV_LATENT, 25 * 25 * 128), nn.ReLU(), nn.Unflatten(1, (128, 25, 25))]
    decoder += [nn.ConvTranspose2d(128, 256, 1), nn.ReLU(), nn.BatchNorm2d(256)]
    decoder += [nn.ConvTranspose2d(256, 128, 3, 2, 1, 1), nn.ReLU(), nn.BatchNorm2d(128)]
    decoder += [nn.ConvTranspose2d(128, 64, 3, 1, 1), nn.ReLU(), nn.BatchNorm2d(64)]
    decoder += [nn.ConvTranspose2d(64, 32, 3, 1, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 3, 1, 1)]
    return nn.Sequential(*encoder), nn.Sequential(*decoder)


def pythae(case: str, precision: str) -> Run:
    """Trains pythae's VAE with Adam on whole batches, because its own trainer collates them image by image."""
    import torch
    from pythae.data.datasets import DatasetOutput
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    layers = _torch_dense()

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers[0]

        def forward(self, x: torch.Tensor) -> ModelOutput:
            mean, log_var = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers[1]

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))

    config = VAEConfig(input_dim=(DENSE_PIXELS,), latent_dim=DENSE_LATENT, reconstruction_loss="bce")
    model, batches = VAE(config, Encoder(), Decoder()), _torch_batches(case)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

    def run(count: int) -> None:
        for x in itertools.islice(batches, count):
            optimizer.zero_grad()
            model(DatasetOutput(data=x)).loss.backward()
            optimizer.step()

    return run


def matmul(precision: str) -> Run:
    """Multiplies two 2048 x 2048 matrices in TensorFlow, one call per step."""
    load_tensorflow()

    import tensorflow as tf

    square = tf.cast(tf.random.normal((MATMUL_SIDE, MATMUL_SIDE)), precision)
    product = tf.function(lambda: tf.matmul(square, square)[0, 0])

    def run(count: int) -> None:
        for _ in range(count):
            product().numpy()

    return run


MATMUL_SIDE = 2048


def flops_per_image(case: str) -> float:
    """Returns the floating-point operations of training on an image: forward, and twice that backward."""
    return 3.0 * sum(_flops(layer) for network in _keras_networks(case) for layer in network.layers)


def _flops(layer: Any) -> int:
    """Returns the multiplications and additions in a layer's matrix products for one example."""
    import math

    import keras

    if isinstance(layer, keras.layers.Dense):
        return 2 * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return 2 * math.prod(layer.kernel.shape) * math.prod(layer.input.shape[1:3])
    if isinstance(layer, keras.layers.Conv2D):
        return 2 * math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    return 0
