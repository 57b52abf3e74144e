"""What workers tell each other before they train together."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from vae_tf.config import RunConfig
from vae_tf.support.errors import InputError
from vae_tf.training.run import run_training


@pytest.fixture
def npz(tmp_path):
    path = tmp_path / "images.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    np.savez(path, x_train=pixels, x_test=pixels)
    return path


@pytest.fixture
def told(monkeypatch, tmp_path):
    """Returns the name and the value that a worker compares with those of the others, who then refuse it."""

    def by_worker(data, **options):
        compared = []

        def check_equal(name, value):
            compared.append((name, value))
            raise InputError("All workers must have the same options.")

        @contextlib.contextmanager
        def peers(cluster, timeout):
            yield SimpleNamespace(check_equal=check_equal)

        monkeypatch.setattr("vae_tf.distribute.peers.connected_peers", peers)
        config = RunConfig(dataset="npz", data_dir=str(data), arch="dense", hidden_sizes=(4,), epochs=1, **options)
        with pytest.raises(InputError, match="All workers must have the same options"):
            run_training(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()
        return compared

    return by_worker


def test_workers_compare_their_options_before_anything_is_written(npz, told):
    [(name, value)] = told(npz)

    assert name == "options and data"
    assert told(npz, beta=0.5) != [(name, value)]


def test_workers_may_have_their_data_in_different_places_but_not_different_data(npz, told, tmp_path):
    expected = told(npz)

    assert told(npz.rename(tmp_path / "moved.npz")) == expected
    with np.load(tmp_path / "moved.npz") as data:
        np.savez(npz, x_train=data["x_train"][:19], x_test=data["x_test"])
    assert told(npz) != expected
