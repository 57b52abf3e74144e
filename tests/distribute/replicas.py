"""What the process of `test_mirrored` runs, on three logical CPU devices: python replicas.py FOLDER COUNTS..."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import keras
import numpy as np
import tensorflow as tf
import training

from vae_tf.backend import replicas
from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.config import DataConfig
from vae_tf.data import pipeline
from vae_tf.data.sources.arrays import ArraySource
from vae_tf.distribute.strategy import distribute_dataset
from vae_tf.training import loop
from vae_tf.training.optimizer import num_updates

NUM_NOISES = 8
# The last batch of an epoch has fewer images than there are replicas.
FEW = 26


def strategy_of(count):
    if count == 1:
        return tf.distribute.get_strategy()
    # Three devices of one CPU can wait for each other without end in the collective operations that are the default.
    devices = [f"CPU:{index}" for index in range(count)]
    return tf.distribute.MirroredStrategy(devices, cross_device_ops=tf.distribute.ReductionToOneDevice())


def noise(strategy):
    """Two draws for all examples, unevenly shared."""
    count = strategy.num_replicas_in_sync
    with strategy.scope():
        generator = keras.random.SeedGenerator(3)

    def of_replica(context):
        first, last = (NUM_NOISES * (context.replica_id_in_sync_group + more) // count for more in (0, 1))
        return tf.constant(last - first)

    @tf.function
    def draw(counts):
        return strategy.run(lambda rows: replicas.standard_normal((2, rows, 3), generator), (counts,))

    counts = strategy.experimental_distribute_values_from_function(of_replica)
    draws = [np.concatenate(strategy.experimental_local_results(draw(counts)), axis=1) for _ in range(2)]
    return {"first": draws[0], "second": draws[1]}


def regularized(strategy):
    model = training.model(strategy, "plain")
    model.encoder.layers[1].kernel.regularizer = keras.regularizers.L2(1.0)
    return training.train(model, FEW)


def convolutional(strategy):
    """With SGD, as Adam amplifies the rounding of tiny gradients, and with an activation whose gradient is smooth.

    Where a ReLU lies within rounding of 0, its gradient jumps: in the fifth step of this model with ReLUs, on one
    replica, a relative change of 2e-7 in the initial weights changes biases by 5e-2.
    """
    model = training.model(strategy, "bn", "conv", keras.optimizers.SGD)
    for layer in (*model.encoder.layers, *model.decoder.layers):
        if getattr(layer, "activation", None) is keras.activations.relu:
            layer.activation = keras.activations.softplus
    return training.train(model, epochs=1)


def clipped_and_averaged(strategy):
    def optimizer(rate):
        return keras.optimizers.SGD(rate, global_clipnorm=0.5, use_ema=True, ema_momentum=0.8)

    model = training.model(strategy, "plain", optimizer=optimizer)
    result = training.train(model)
    model.optimizer.finalize_variable_values(model.trainable_weights)
    return {**result, **{f"average {number}": weight.numpy() for number, weight in enumerate(model.weights)}}


def skipping(strategy):
    """Of 56 images one is not a number: in each of two epochs one batch, on one replica.

    In the first epoch the encoder sees it, and so do the averages of all normalizations. In the second the loss alone
    does, and what the encoder makes of the batch has a value: of NaN a ReLU of TensorFlow makes NaN, and one of oneDNN,
    which TensorFlow takes on some processors, 0.
    """
    seen = training.examples(training.TRAIN)
    images = (seen.read(np.arange(len(seen))) / 255).astype(np.float32)
    images[7] = np.nan
    poisoned, config = ArraySource(images, None, 1.0), DataConfig(batch_size=12)
    steps_per_epoch = pipeline.num_batches(poisoned, config.batch_size)

    def batches(shard):
        def inputs_and_target(number, images):
            is_seen = number < steps_per_epoch * shard.num_local_replicas
            return tf.where(tf.math.is_nan(images) & ~is_seen, 0.0, images), images

        return pipeline.training_batches(poisoned, config, training.SHAPE, shard).enumerate().map(inputs_and_target)

    model = training.model(strategy, "bn", optimizer=keras.optimizers.SGD)
    guard = GuardedStep(model)
    loop.train(model, distribute_dataset(strategy, batches), epochs=2, steps_per_epoch=steps_per_epoch, guard=guard)
    weights = {f"weight {number}": weight.numpy() for number, weight in enumerate(model.weights)}
    skipped = guard.skipped._asdict()
    losses = skipped.pop("losses")
    updates = {"updates": num_updates(model.optimizer), "steps": int(model.step_counter.value)}
    return {**weights, **skipped, **losses, **updates}


def restored(strategy):
    return {"differing": training.differing(strategy)}


def main(folder, counts, *names):
    training.logical_cpus(3)
    for count in map(int, counts):
        strategy = strategy_of(count)
        for name in names:
            np.savez(Path(folder) / f"{name}-{count}.npz", **globals()[name](strategy))


if __name__ == "__main__":
    main(*sys.argv[1:])
