"""Time from the start of a process to the end of its first training step, compared with plain Keras.

    python benchmarks/first_step.py

Both train the dense 784-512-256-128 network with Adam on the bundled images. Rounds are interleaved; prints medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

HIDDEN_SIZES, LATENT_DIM, BATCH_SIZE = (512, 256), 128, 128


def train_with_vae_tf() -> None:
    """Runs the command until the end of its first step."""
    from vae_tf import train
    from vae_tf.support import cli
    from vae_tf.support.quiet_tensorflow import load_tensorflow

    load_tensorflow()

    from vae_tf.training import loop

    run = loop.StepRunner.run

    def first(*arguments: Any) -> Any:
        next(run(*arguments))
        os._exit(0)

    setattr(loop.StepRunner, "run", first)  # noqa: B010  # mypy refuses the plain assignment
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1:] = ["--arch", "dense", "--variant", "plain", "--run-dir", folder]
        cli.run(train.main, train.TrainOptions, train.COMMAND)


def train_with_keras() -> None:
    """Runs `fit` on the same images until the end of its first step."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    from importlib import resources

    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers, ops

    with resources.files("vae_tf.data").joinpath("bundled/fashion_mnist_sample.npz").open("rb") as file:
        images = np.load(file)["x_train"].reshape(-1, 784).astype(np.float32) / 255

    def stack(inputs: int, sizes: tuple[int, ...], outputs: int) -> keras.Model:
        hidden = [layers.Dense(size, activation="relu") for size in sizes]
        return keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs)])

    class PlainVAE(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = stack(784, HIDDEN_SIZES, 2 * LATENT_DIM)
            self.decoder = stack(LATENT_DIM, HIDDEN_SIZES[::-1], 784)
            self.seed = keras.random.SeedGenerator(0)
            self.tracker = keras.metrics.Mean("loss")

        def train_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            with tf.GradientTape() as tape:
                mean, log_var = ops.split(self.encoder(x, training=True), 2, axis=-1)
                z = mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.seed)
                logits = self.decoder(z, training=True)
                bernoulli = ops.sum(ops.softplus(logits) - x * logits, axis=-1)
                loss = ops.mean(bernoulli + 0.5 * ops.sum(mean**2 + ops.exp(log_var) - 1 - log_var, axis=-1))
            self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            self.tracker.update_state(loss)
            return {"loss": self.tracker.result()}

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            os._exit(0)

    model = PlainVAE()
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.fit(images, batch_size=BATCH_SIZE, callbacks=[Stop()], verbose=0)


CONTESTANTS = {"vae_tf": train_with_vae_tf, "plain Keras": train_with_keras}


def main() -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--contestant", choices=CONTESTANTS, help="run this one alone, as a round does")
    options = parser.parse_args()
    if options.contestant:
        CONTESTANTS[options.contestant]()
        return
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(options.rounds):
        for name in CONTESTANTS:
            began = time.perf_counter()
            command = [sys.executable, __file__, "--contestant", name]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
    print("| | seconds to the end of the first step |\n|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.2f} |")


if __name__ == "__main__":
    main()
