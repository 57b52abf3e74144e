"""Replicas on logical CPU devices, as on several GPUs, compute together what one computes alone."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import training

SCRIPT = Path(__file__).parent / "replicas.py"
ROOT = Path(__file__).parents[2]
SECONDS = 300


# What one process trains: with how many replicas, and which functions of the script.
GROUPS = {
    "fast": ("12", "noise", "regularized", "skipping"),
    "slow": ("12", "convolutional", "clipped_and_averaged"),
    "three": ("3", "noise", "regularized", "skipping", "restored"),
}
COUNTS = [2, pytest.param(3, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def results(made_once):
    """What the script saved, by name and number of replicas; TensorFlow learns of its devices before it starts."""

    def run(group, folder):
        counts, *names = GROUPS[group]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
        subprocess.run([sys.executable, SCRIPT, folder, counts, *names], env=environment, check=True, timeout=SECONDS)

    def result(name, count):
        group = next(group for group, (counts, *names) in GROUPS.items() if str(count) in counts and name in names)
        folder = made_once(f"replicas-{group}", partial(run, group))
        return dict(np.load(folder / f"{name}-{count}.npz"))

    return result


@pytest.mark.parametrize("count", COUNTS)
def test_every_example_has_the_noise_that_one_replica_gives_it(results, count):
    one, several = results("noise", 1), results("noise", count)

    assert not np.array_equal(one["first"], one["second"])
    for name, noise in one.items():
        np.testing.assert_array_equal(several[name], noise)


@pytest.mark.parametrize("count", COUNTS)
def test_regularizers_count_once_and_a_replica_without_examples_adds_nothing(results, count):
    assert training.far(results("regularized", count), results("regularized", 1)) == {}


@pytest.mark.slow
def test_normalized_convolutions_train_as_one(results):
    # The gradient of a bias before a normalization is little more than rounding.
    one, several = (
        {name: value for name, value in results("convolutional", count).items() if not name.endswith("/bias")}
        for count in (1, 2)
    )
    assert training.far(several, one) == {}


@pytest.mark.slow
def test_gradients_of_the_whole_batch_are_clipped_and_weights_averaged(results):
    assert training.far(results("clipped_and_averaged", 2), results("clipped_and_averaged", 1)) == {}


@pytest.mark.parametrize("count", COUNTS)
def test_a_batch_that_is_not_finite_on_one_replica_is_skipped_on_all(results, count):
    one, several = results("skipping", 1), results("skipping", count)
    for result in (one, several):
        assert (result["total"], result["updates"], result["steps"]) == (2, 8, 10)
    assert np.isnan([several["reconstruction_loss"], several["gradient_norm"]]).all()
    assert several["kl_loss"] == pytest.approx(one["kl_loss"], rel=1e-4)
    # The gradient of the bias before a normalization, the second of all weights, is nothing but rounding.
    weights = [name for name in one if name.startswith("weight") and name != "weight 1"]
    assert training.far({name: several[name] for name in weights}, {name: one[name] for name in weights}) == {}


@pytest.mark.slow
def test_training_ends_with_the_same_bits_from_whatever_step_it_is_restored(results):
    """Of three replicas, which can't share out a number without rounding it."""
    assert results("restored", 3)["differing"].tolist() == []
