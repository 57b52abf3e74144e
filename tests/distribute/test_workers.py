"""Real worker processes on 127.0.0.1 compute together what one process computes alone."""

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import training

WORKER = Path(__file__).parent / "worker.py"
ROOT = Path(__file__).parents[2]
SECONDS = 300


class Ended(NamedTuple):
    status: int
    stderr: str


def run_workers(count, folder, *more):
    """How worker processes ended that were started together."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        addresses = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    started = [
        subprocess.Popen(
            [sys.executable, WORKER, addresses, str(index), folder, *more],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    errors = [process.communicate(timeout=SECONDS)[1] for process in started]
    return [Ended(process.returncode, text) for process, text in zip(started, errors, strict=True)]


@pytest.fixture(scope="module")
def alone():
    """`alone("bn")` returns the weights and metrics of one process."""
    strategy = tf.distribute.get_strategy()
    return functools.cache(lambda variant: training.train(training.model(strategy, variant)))


@pytest.fixture(scope="module")
def two(made_once):
    def run(folder):
        ended = run_workers(2, folder, "bn")
        assert [worker.status for worker in ended] == [0, 0], ended

    return made_once("two", run)


@pytest.fixture(scope="module")
def three_of_which_the_last_dies(made_once):
    def run(folder):
        (folder / "ended.json").write_text(json.dumps(run_workers(3, folder, "plain,bn", "dies")))

    folder = made_once("three", run)
    return folder, [Ended(*each) for each in json.loads((folder / "ended.json").read_text())]


def saved(folder, variant, index):
    return dict(np.load(folder / f"{variant}-{index}.npz"))


def test_two_workers_train_as_one(alone, two):
    assert training.far(saved(two, "bn", 0), alone("bn")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plain", "bn"])
def test_three_workers_train_as_one(alone, three_of_which_the_last_dies, variant):
    folder, _ = three_of_which_the_last_dies
    assert training.far(saved(folder, variant, 0), alone(variant)) == {}


def test_all_workers_have_the_same_weights_and_metrics(two):
    first, second = saved(two, "bn", 0), saved(two, "bn", 1)
    for name, value in first.items():
        np.testing.assert_array_equal(second[name], value)


def test_workers_end_with_the_same_bits_from_whatever_step_they_are_restored(two):
    assert [saved(two, "restored", index)["differing"].tolist() for index in (0, 1)] == [[], []]


@pytest.mark.slow
def test_three_workers_end_with_the_same_bits_from_whatever_step_they_are_restored(three_of_which_the_last_dies):
    folder, _ = three_of_which_the_last_dies
    assert [saved(folder, "restored", index)["differing"].tolist() for index in (0, 1, 2)] == [[], [], []]


@pytest.mark.slow
def test_worker_that_dies_stops_the_others_with_a_line(three_of_which_the_last_dies):
    *others, dead = three_of_which_the_last_dies[1]

    assert dead.status == -9
    for worker in others:
        assert worker.status != 0
        assert "error: Lost connection to Worker 2 (127.0.0.1:" in worker.stderr
