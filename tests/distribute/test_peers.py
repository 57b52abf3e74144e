"""Workers that connect, compare values, disconnect and time out, on 127.0.0.1 and without TensorFlow."""

import contextlib
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from vae_tf.distribute.cluster import Cluster
from vae_tf.distribute.peers import INTERRUPTED, connected_peers, failure_message
from vae_tf.support.errors import InputError

SECONDS = 60.0


@pytest.fixture
def addresses():
    """Of three workers, at ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)


def run_workers(addresses, work):
    """What `work(peers)` returns or raises at each worker."""

    def run(index):
        try:
            with connected_peers(Cluster(addresses, index), SECONDS) as peers:
                return work(peers)
        except (InputError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(run, range(len(addresses))))


def test_all_meet(addresses):
    assert run_workers(addresses, lambda peers: peers.cluster.index) == [0, 1, 2]


def test_one_worker_has_nobody_to_meet():
    with connected_peers(None, SECONDS) as peers:
        assert peers is None


def test_chief_takes_no_strangers_for_workers(addresses):
    host, port = addresses[0].split(":")

    def knock_and_work(peers):
        return peers.cluster.index

    def stranger():
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return

    with ThreadPoolExecutor() as pool:
        pool.submit(stranger)
        assert run_workers(addresses, knock_and_work) == [0, 1, 2]


def test_worker_that_never_comes_is_told_by_the_chief(addresses):
    def run(index):
        with pytest.raises(InputError) as raised, connected_peers(Cluster(addresses, index), 1.0):
            raise AssertionError("met")
        return str(raised.value)

    with ThreadPoolExecutor() as pool:
        told = list(pool.map(run, (0, 1)))
    assert told[0].startswith("Every worker listed in TF_CONFIG must start within 1 s. Received: no response from ")
    assert f"Worker 2 ({addresses[2]})" in told[0]
    assert "--worker-timeout" in told[0]
    assert re.search(r"Worker [02] ", told[1])  # the chief's word, or, a moment earlier, its own


def test_chief_that_never_comes_is_told_by_a_worker(addresses):
    with (
        pytest.raises(InputError, match=rf"no response from Worker 0 \({addresses[0]}\)"),
        connected_peers(Cluster(addresses, 1), 0.5),
    ):
        raise AssertionError("met")


def test_port_that_is_taken_is_told(addresses):
    host, port = addresses[0].split(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(InputError, match=r"must be free\. Received: 127\.0\.0\.1:\d+ \(Address already in use\)"),
        connected_peers(Cluster(addresses, 0), SECONDS),
    ):
        raise AssertionError("met")


def test_workers_that_agree_go_on(addresses):
    def work(peers):
        peers.check_equal("data", "same")
        return "went on"

    assert run_workers(addresses, work) == ["went on"] * 3


def test_workers_that_differ_stop_all(addresses):
    def work(peers):
        peers.check_equal("data", "other" if peers.cluster.index == 2 else "same")

    message = (
        f"All workers must have the same data. Received: different data from Worker 2 ({addresses[2]}); "
        "restart all workers with the same data"
    )
    assert run_workers(addresses, work) == [message] * 3


def test_fault_of_one_worker_is_told_by_all(addresses):
    def work(peers):
        if peers.cluster.index == 1:
            raise InputError("data_dir must be readable")
        peers.check_equal("data", "same")

    told = run_workers(addresses, work)

    assert told == [f"Worker 1 ({addresses[1]}): data_dir must be readable", "data_dir must be readable", told[0]]


def test_what_a_worker_tells_the_others_holds_no_secret(addresses):
    def work(peers):
        if peers.cluster.index == 1:
            raise OSError("no such place: /c?sv=1&sig=abc")
        peers.check_equal("data", "same")

    assert run_workers(addresses, work)[0] == f"Worker 1 ({addresses[1]}): no such place: /c?[redacted]"


WORKER = """
import os, sys, time
from vae_tf.distribute.cluster import Cluster
from vae_tf.distribute.peers import connected_peers
from vae_tf.support.errors import InputError

addresses, index, ends = tuple(sys.argv[1].split(",")), int(sys.argv[2]), sys.argv[3]
with connected_peers(Cluster(addresses, index), 20) as peers:
    peers.start_watchdog(0.5 if ends == "never starts" else 20)
    if ends != "never starts":
        peers.report_started()
    if ends == "dies":
        os.kill(os.getpid(), 9)
    if ends == "fails":
        raise InputError("too little memory")
    if ends != "well":
        time.sleep(60)
"""


def run_processes(addresses, *ends):
    """The status and stderr of worker processes that end as told; the rest would sleep for long."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, ",".join(addresses[: len(ends)]), str(index), end],
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, end in enumerate(ends)
    ]
    told = [process.communicate(timeout=SECONDS)[1] for process in started]
    return [(process.returncode, text) for process, text in zip(started, told, strict=True)]


def test_watched_workers_end_well_together(addresses):
    assert run_processes(addresses, "well", "well", "well") == [(0, "")] * 3


@pytest.mark.parametrize(("gone", "ends"), [(1, ("sleeps", "dies", "sleeps")), (0, ("dies", "sleeps", "sleeps"))])
def test_worker_that_dies_ends_the_others(addresses, gone, ends):
    line = f"error: Lost connection to Worker {gone} ({addresses[gone]})"

    for index, (status, text) in enumerate(run_processes(addresses, *ends)):
        assert status == -9
        assert text == "" if index == gone else text.startswith(line)
        assert text.count("\n") == (index != gone)


def test_fault_of_a_watched_worker_ends_the_others_with_its_words(addresses):
    (_, first), (_, second), (_, third) = run_processes(addresses, "sleeps", "sleeps", "fails")

    assert first == second == f"error: Worker 2 ({addresses[2]}): too little memory\n"
    assert third.endswith("InputError: too little memory\n")


def test_tensorflow_that_does_not_start_is_ended(addresses):
    (status, text), _ = run_processes(addresses, "never starts", "sleeps")

    assert status == -9
    assert text.startswith("error: TensorFlow did not start on all workers within 0.5 s;")


def test_an_interruption_names_who_was_interrupted():
    assert failure_message(f"error: {INTERRUPTED}", "Worker 0 (a:1)") == f"Worker 0 (a:1): {INTERRUPTED}"
    assert failure_message(f"error: {INTERRUPTED}", "Worker 1 (b:1)") == f"Worker 1 (b:1): {INTERRUPTED}"
