"""What a process of `test_workers` runs: python worker.py ADDRESSES INDEX FOLDER VARIANTS [dies]"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import keras
import numpy as np
import training

from vae_tf.backend.devices import convert_runtime_errors
from vae_tf.distribute.cluster import Cluster
from vae_tf.distribute.peers import connected_peers
from vae_tf.distribute.strategy import strategy_for

SECONDS = 60.0


class Dies(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs):
        os.kill(os.getpid(), signal.SIGKILL)


def main(addresses, index, folder, variants, *more):
    with connected_peers(Cluster(tuple(addresses.split(",")), int(index)), SECONDS) as peers, convert_runtime_errors():
        strategy = strategy_for("multi_worker", peers, SECONDS)
        for variant in variants.split(","):
            model = training.model(strategy, variant)
            np.savez(Path(folder) / f"{variant}-{index}.npz", **training.train(model))
        np.savez(Path(folder) / f"restored-{index}.npz", differing=training.differing(strategy, is_chief=index == "0"))
        if more:
            last = index == str(strategy.num_replicas_in_sync - 1)
            training.train(model, epochs=1000, callbacks=[Dies()] if last else [])


if __name__ == "__main__":
    main(*sys.argv[1:])
