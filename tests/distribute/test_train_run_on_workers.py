"""`train_run` in two worker processes, with arrays and with a callback that stops training on the chief alone."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vae_tf.runs.run_dir import RunDir

ROOT = Path(__file__).parents[2]
SECONDS = 300
PROGRAM = """
import keras, numpy as np, vae_tf

images = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
stop = keras.callbacks.EarlyStopping("loss", min_delta=1e6, patience=1)
options = {"arch": "dense", "hidden_sizes": (8,), "latent_dim": 2, "batch_size": 16, "epochs": 50}
options |= {"callbacks": [stop], "run_dir": "run", "distribute": "multi_worker"}
vae_tf.train_run(x=images[:60], x_test=images[60:], **options)
print(stop.stopped_epoch)
"""


@pytest.mark.slow
def test_a_callback_on_the_chief_stops_both_workers(tmp_path):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    workers = []
    for index in range(2):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(cluster)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        workers.append(subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, **pipes))
    outputs = [worker.communicate(timeout=SECONDS) for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert [output.splitlines()[-1] for output, _ in outputs] == [
        "1",
        "0",
    ]  # the second worker's callback is not called
    assert len(RunDir(tmp_path / "run").read_history()) == 2
    with np.load(tmp_path / "run" / "data.npz") as data:
        assert data["x_train"].shape == (60, 8, 8)
