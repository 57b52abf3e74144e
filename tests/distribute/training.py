"""Twenty steps on pictures that every process makes for itself, for the tests beside it."""

import keras
import numpy as np
import tensorflow as tf

from vae_tf import loop
from vae_tf.config import DataConfig
from vae_tf.data import pipeline
from vae_tf.data.sources.arrays import ArrayExamples
from vae_tf.distribute.strategy import distributed
from vae_tf.model import build_vae
from vae_tf.model.adam import Adam

SHAPE = (8, 8, 1)
EPOCHS, STEPS = 4, 5
CONFIG = DataConfig(batch_size=12, binarize="dynamic")
# Batches that replicas share unevenly: the last of an epoch has 8 pictures, the last to be judged 2.
TRAIN, TEST = 56, 26


def examples(count):
    """Bright upper and dark lower halves: Adam would make much of the rounding of a gradient that should be zero."""
    brightness = np.random.default_rng(0).integers(0, 256, (count, 1, 1, 1))
    halves = np.linspace(1.0, 0.1, SHAPE[0]).reshape(1, -1, 1, 1)
    return ArrayExamples(np.broadcast_to(brightness * halves, (count, *SHAPE)).astype(np.uint8), None, 255.0)


def model(strategy, variant, arch="dense"):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        hidden = {"hidden_sizes": (32,)} if arch == "dense" else {}
        vae = build_vae(SHAPE, 4, arch, variant, **hidden)
        vae.compile(Adam(1e-3), jit_compile=False)
    return vae


def train(vae, epochs=EPOCHS, callbacks=()):
    """Returns the weights by name, and the metrics of the test pictures."""
    strategy = vae.distribute_strategy
    batches = distributed(strategy, lambda share: pipeline.training_batches(examples(TRAIN), CONFIG, SHAPE, share))
    loop.train(vae, batches, epochs=epochs, steps_per_epoch=STEPS, callbacks=callbacks)
    judged = distributed(
        strategy, lambda share: pipeline.evaluation_batches(examples(TEST), CONFIG, SHAPE, "test", share)
    )
    metrics = loop.evaluator(vae, judged, pipeline.num_batches(examples(TEST), CONFIG.batch_size))()
    return {**{variable.path: variable.numpy() for variable in vae.weights}, **metrics}


def logical_cpus(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def far(result, expected):
    """The names whose values are not equal to 1e-4 of their size."""
    distance = {name: np.linalg.norm(result[name] - value) / np.linalg.norm(value) for name, value in expected.items()}
    return {name: float(value) for name, value in distance.items() if not value < 1e-4}
