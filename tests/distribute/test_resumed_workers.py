"""Two real worker processes, of which one is killed, and the same two started again."""

import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECONDS = 300
OPTIONS = (
    "--dataset=npz --data-dir=tiny.npz --arch=dense --hidden-sizes=16 --latent-dim=2 --batch-size=16 --epochs=8 "
    "--checkpoint-steps=5 --sample-every=8 --ema=0.9 --distribute=multi_worker"
)
CLOCK = {"seconds", "images_per_second"}


def start(folder, run_dir):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    command = [sys.executable, "-m", "vae_tf.train", *OPTIONS.split(), f"--run-dir={run_dir}"]

    def worker(index):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
        environment["TF_CONFIG"] = json.dumps(config)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=folder, env=environment, **pipes)

    return [worker(0), worker(1)]


def end(workers):
    return [worker.communicate(timeout=SECONDS) for worker in workers]


def result(run_dir):
    with zipfile.ZipFile(run_dir / "model.keras") as model, (run_dir / "history.csv").open() as history:
        rows = [{key: row[key] for key in row.keys() - CLOCK} for row in csv.DictReader(history)]
        return model.read("model.weights.h5"), rows


@pytest.fixture(scope="module")
def folder(made_once):
    """With data, and the run `whole` that nothing interrupted."""

    def run(folder):
        rng = np.random.default_rng(0)
        train, test = (rng.integers(0, 256, (count, 8, 8), np.uint8) for count in (200, 20))
        np.savez(folder / "tiny.npz", x_train=train, x_test=test)
        workers = start(folder, "whole")
        outputs = end(workers)
        assert [worker.returncode for worker in workers] == [0, 0], outputs

    return made_once("workers", run)


def stop_once_saved(folder, run_dir, index, number):
    """How two workers ended of which one got a signal after the first checkpoint."""
    workers = start(folder, run_dir)
    while not list((folder / run_dir / "checkpoints").glob("step_*")) and workers[index].poll() is None:
        time.sleep(0.02)
    workers[index].send_signal(number)
    return workers, end(workers)


def resume(folder, run_dir):
    workers = start(folder, run_dir)
    told = end(workers)
    assert [worker.returncode for worker in workers] == [0, 0], told
    assert "Resumed after step " in told[0][0]


def test_worker_that_was_killed_leaves_a_run_that_ends_as_if_it_had_not(folder):
    workers, told = stop_once_saved(folder, "killed", 1, signal.SIGKILL)
    assert workers[1].returncode == -signal.SIGKILL
    assert "Worker 1 " in told[0][1]
    assert not (folder / "killed" / "model.keras").exists()
    resume(folder, "killed")
    assert result(folder / "killed") == result(folder / "whole")


@pytest.mark.parametrize("asked", [0, 1])
def test_worker_that_is_asked_to_stop_stops_all_after_they_saved(folder, asked):
    run_dir = f"asked-{asked}"
    workers, told = stop_once_saved(folder, run_dir, asked, signal.SIGTERM)
    assert [worker.returncode for worker in workers] == [128 + signal.SIGTERM] * 2, told
    assert re.search(r"error: stopped by SIGTERM; [\d,]+ of [\d,]+ steps are saved in ", told[0][1])
    assert "error: stopped by SIGTERM; restart all workers" in told[1][1]
    resume(folder, run_dir)
    assert result(folder / run_dir) == result(folder / "whole")
