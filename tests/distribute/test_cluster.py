"""`TF_CONFIG`: what it says, and what is said of a bad one."""

import json
from types import SimpleNamespace

import pytest

from vae_tf.distribute import cluster
from vae_tf.distribute.cluster import cluster_from_environment
from vae_tf.support.errors import InputError

WORKERS = ["10.0.0.4:2222", "10.0.0.5:2222"]


@pytest.fixture
def set_config(monkeypatch):
    def set_to(config):
        monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))

    return set_to


def of_azure(workers=WORKERS, index=1, **jobs):
    return {
        "cluster": {"worker": workers, **jobs},
        "task": {"type": "worker", "index": index},
        "environment": "cloud",
    }


def test_worker_finds_its_place(set_config):
    set_config(of_azure())
    found = cluster_from_environment("auto")

    assert found.addresses == tuple(WORKERS)
    assert found.index == 1
    assert not found.is_chief
    assert found.name(1) == "Worker 1 (10.0.0.5:2222)"


def test_first_worker_is_the_chief(set_config):
    set_config(of_azure(index=0))
    assert cluster_from_environment("multi_worker").is_chief


def test_empty_list_of_parameter_servers_is_none(set_config):
    set_config(of_azure(ps=[]))
    assert cluster_from_environment("auto").addresses == tuple(WORKERS)


def test_chief_comes_before_the_workers(set_config):
    set_config(of_azure(chief=["10.0.0.3:2222"]))
    found = cluster_from_environment("auto")

    assert found.addresses == ("10.0.0.3:2222", *WORKERS)
    assert found.index == 2


@pytest.mark.parametrize("config", ["", of_azure(WORKERS[:1], 0)])
def test_one_worker_is_no_cluster(set_config, config):
    set_config(config)
    assert cluster_from_environment("auto") is None
    with pytest.raises(InputError, match="distribute=multi_worker needs TF_CONFIG to list at least two workers"):
        cluster_from_environment("multi_worker")


@pytest.mark.parametrize("platform", ["darwin", "win32"])
@pytest.mark.parametrize(
    ("config", "distribute"), [(of_azure(), "auto"), (of_azure(), "multi_worker"), ("", "multi_worker")]
)
def test_several_machines_need_linux(set_config, monkeypatch, platform, config, distribute):
    set_config(config)
    monkeypatch.setattr(cluster, "sys", SimpleNamespace(platform=platform))
    with pytest.raises(InputError) as raised:
        cluster_from_environment(distribute)

    assert str(raised.value) == (
        f"Training on several machines needs Linux. Received: {platform}; train on Linux, or unset TF_CONFIG and omit "
        "--distribute"
    )


def test_one_machine_may_have_any_system(set_config, monkeypatch):
    set_config("")
    monkeypatch.setattr(cluster, "sys", SimpleNamespace(platform="darwin"))
    assert cluster_from_environment("auto") is None


@pytest.mark.parametrize("distribute", ["none", "mirrored"])
def test_one_worker_is_asked_for(set_config, distribute):
    set_config("no JSON")
    assert cluster_from_environment(distribute) is None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "unexpected structure"),
        ({"cluster": {"worker": WORKERS}}, "'task' is missing"),
        ({"cluster": {"worker": WORKERS}, "task": {"index": 0}}, "'type' is missing"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "chief", "index": 0}}, "'chief' is missing"),
        ({"task": {"type": "worker", "index": 0}}, "'cluster' is missing"),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": 0}}, "unexpected structure"),
        (of_azure(index=2), "index 2 is not in 0..1"),
        (of_azure(index=-1), "index -1 is not in 0..1"),
        (of_azure(index="x"), "'x'"),
        (of_azure(ps=["10.0.0.6:2222"]), "unsupported task type ps"),
        (of_azure(["10.0.0.4", "10.0.0.5"]), "10.0.0.4 is not of the form host:port"),
        (of_azure(["a:2222", "b:0"]), "b:0 is not of the form host:port"),
        (of_azure(["a:2222", 7]), "7 is not of the form host:port"),
        (of_azure(["a:2222", "a:2222"]), "an address is listed twice"),
    ],
)
def test_bad_config_is_told_in_one_line(set_config, config, reason):
    set_config(config)
    with pytest.raises(InputError, match=r"^TF_CONFIG must have the form ") as raised:
        cluster_from_environment("auto")
    assert reason in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
