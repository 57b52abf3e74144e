"""Which strategy computes a run, and which runs it can compute; the GPUs here are pretended."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from vae_tf.config import RunConfig
from vae_tf.distribute.strategy import check_can_distribute, strategy_for
from vae_tf.support.errors import InputError


@pytest.fixture
def mirrored(monkeypatch):
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")


@pytest.mark.parametrize(
    ("distribute", "num_gpus", "is_mirrored"),
    [
        ("auto", 0, False),
        ("auto", 1, False),
        ("auto", 2, True),
        ("none", 2, False),
        ("mirrored", 0, True),
        ("mirrored", 1, True),
    ],
)
def test_several_gpus_are_mirrored(monkeypatch, mirrored, distribute, num_gpus, is_mirrored):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU"] * num_gpus)
    strategy = strategy_for(distribute, None, 1.0)

    assert strategy == "mirrored" if is_mirrored else strategy is tf.distribute.get_strategy()


def check(replicas, num_train=100, **options):
    check_can_distribute(SimpleNamespace(num_replicas_in_sync=replicas), RunConfig(**options), num_train)


@pytest.mark.parametrize(
    ("replicas", "options"),
    [
        (1, {"batch_size": 127, "jit": True, "micro_batch_size": 16}),
        (2, {"batch_size": 128, "variant": "plain", "micro_batch_size": 16}),
        (3, {"batch_size": 129}),
    ],
)
def test_replicas_that_can_share_the_work_may(replicas, options):
    check(replicas, **options)


@pytest.mark.parametrize(
    ("replicas", "options", "line"),
    [
        (3, {"batch_size": 128}, "a multiple of the number of replicas, 3. Received: batch_size=128; use 126"),
        (4, {"batch_size": 2}, "a multiple of the number of replicas, 4. Received: batch_size=2; use 4"),
        (2, {"jit": True}, "jit needs a single replica. Received: 2"),
        (2, {"micro_batch_size": 16}, "micro_batch_size with 2 replicas needs variant=plain"),
        (4, {"num_train": 3}, "at least as many training examples as replicas, 4. Received: 3"),
    ],
)
def test_what_replicas_cannot_share_is_told_in_one_line(replicas, options, line):
    with pytest.raises(InputError) as raised:
        check(replicas, **options)
    assert line in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
