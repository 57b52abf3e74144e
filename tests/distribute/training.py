"""A few steps on data that every process makes for itself, for the tests of this folder."""

import keras
import numpy as np
import tensorflow as tf

from vae_tf.backend.adam import Adam
from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.config import DataConfig
from vae_tf.data import pipeline
from vae_tf.data.sources.arrays import ArraySource
from vae_tf.distribute.strategy import broadcast_from_chief, distribute_dataset
from vae_tf.model import build_vae
from vae_tf.training import loop
from vae_tf.training.checkpoint.state import TrainingState
from vae_tf.training.stage import Stage

SHAPE = (8, 8, 1)
EPOCHS = 4  # of five steps each
CONFIG = DataConfig(batch_size=12, binarize="dynamic")
# Batches that replicas share unevenly: the last of an epoch has 8 images, the last to be judged 2.
TRAIN, TEST = 56, 26


def examples(count):
    """Bright upper and dark lower halves: Adam would make much of the rounding of a gradient that should be zero."""
    brightness = np.random.default_rng(0).integers(0, 256, (count, 1, 1, 1))
    halves = np.linspace(1.0, 0.1, SHAPE[0]).reshape(1, -1, 1, 1)
    return ArraySource(np.broadcast_to(brightness * halves, (count, *SHAPE)).astype(np.uint8), None, 255.0)


def model(strategy, variant, arch="dense", optimizer=Adam):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        hidden = {"hidden_sizes": (32,)} if arch == "dense" else {}
        vae = build_vae(SHAPE, 4, arch, variant, **hidden)
        vae.compile(optimizer(1e-3), jit_compile=False)
    return vae


def train(vae, num_train=TRAIN, epochs=EPOCHS, callbacks=()):
    """Returns the weights and the metrics of the last epoch and of the test images."""
    strategy, logs = vae.distribute_strategy, {}
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, measured: logs.update(measured))
    seen, judged = examples(num_train), examples(TEST)
    test_batches = distribute_dataset(
        strategy, lambda shard: pipeline.evaluation_batches(judged, CONFIG, SHAPE, "test", shard)
    )
    evaluate = loop.Evaluator(vae)
    loop.train(
        vae,
        distribute_dataset(strategy, lambda shard: pipeline.training_batches(seen, CONFIG, SHAPE, shard)),
        epochs=epochs,
        steps_per_epoch=pipeline.num_batches(seen, CONFIG.batch_size),
        guard=GuardedStep(vae),
        validate=lambda: evaluate(test_batches, pipeline.num_batches(judged, CONFIG.batch_size)),
        callbacks=[record, *callbacks],
    )
    # Keras numbers the layers of a process, so that their paths are those of the first model alone.
    weights = {f"{number} {weight.path}": weight.numpy() for number, weight in enumerate(vae.weights)}
    return {**weights, **logs}


def differing(strategy, *, is_chief=True):
    """Trains ten steps, and again from what was captured on the way; returns what is not the same in the end.

    Several times, as what is restored wrong by less than its last digit shows in some of them only.
    """
    vae = model(strategy, "bn")
    guard = GuardedStep(vae)
    state = TrainingState([Stage("vae", vae, guard, 1, 10, None)])
    steps, seen = loop.StepRunner(vae, guard), examples(TRAIN)

    def captured_from(first):
        batches = distribute_dataset(
            strategy, lambda shard: pipeline.training_batches(seen, CONFIG, SHAPE, shard, first)
        )
        return {
            done: state.capture() for done, _ in steps.run(iter(batches), first, 10, callback_every=2) if done % 2 == 0
        }

    captured, names = captured_from(0), []
    end = captured[10]
    for first in (2, 4, 6, 8):
        state.restore(broadcast_from_chief(strategy, captured[first] if is_chief else None, end))
        again = captured_from(first)[10]
        names += [f"{name} from step {first}" for name in end if not np.array_equal(again[name], end[name])]
    return names


def logical_cpus(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def far(result, expected):
    """The names of the values that differ by more than 1e-4 of their size, or, of metrics, by more than 1e-6 nats too.

    A KL divergence near 0 is what is left of terms near 1, and has their rounding.
    """
    pairs = zip(expected.items(), result.values(), strict=True)
    distances = {name: np.linalg.norm(value - given) / _size(value) for (name, value), given in pairs}
    return {name: float(distance) for name, distance in distances.items() if not distance <= 1e-4}


def _size(value):
    return np.linalg.norm(value) if np.ndim(value) else max(abs(value), 1e-2)
