import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vae_tf.support.errors import Interrupted
from vae_tf.training.interruption import SIGNALS, SignalHandler

ROOT = Path(__file__).parents[2]


def wait_until(is_so, seconds=20):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_request_to_stop(number, capsys):
    with SignalHandler() as interruption:
        assert not interruption.is_stop_requested
        interruption.check()
        os.kill(os.getpid(), number)
        wait_until(lambda: interruption.is_stop_requested)
        with pytest.raises(Interrupted, match=f"^stopped by {number.name}$") as stop:
            interruption.check()

    assert (stop.value.signal_number, stop.value.status) == (number, 128 + number)


def test_the_user_is_told(capfd):
    with SignalHandler() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_until(lambda: interruption.is_stop_requested and "again to stop immediately" in capfd.readouterr().err)


def test_handlers_are_put_back_in_the_end():
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with SignalHandler():
        assert [signal.getsignal(number) for number in SIGNALS] != handlers

    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert signal.set_wakeup_fd(-1) == -1


def test_handlers_are_put_back_after_an_error():
    handlers = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyError), SignalHandler():
        raise KeyError

    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_nothing_is_left_open():
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    # The thread of a test before may be about to end.
    before, threads = descriptors(), threading.active_count()
    for _ in range(10):
        with SignalHandler():
            pass

    wait_until(lambda: descriptors() <= before and threading.active_count() <= threads)


def test_other_signals_are_left_to_their_handlers():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    with SignalHandler() as interruption:
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda: heard)
        assert not interruption.is_stop_requested
    signal.signal(signal.SIGUSR1, before)


def test_in_another_thread_signals_are_left_to_others():
    seen = []

    def use():
        handlers = [signal.getsignal(number) for number in SIGNALS]
        with SignalHandler() as interruption:
            seen.append([signal.getsignal(number) for number in SIGNALS] == handlers)
            interruption.check()
        seen.append(interruption.is_stop_requested)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

    assert seen == [True, False]


# Waits for the two signals in a call that runs no Python, as one of TensorFlow does; the first ends a sleep early.
STUCK = """
import ctypes, sys, time
from vae_tf.training.interruption import SignalHandler
with SignalHandler() as interruption:
    print("ready", flush=True)
    if sys.argv[1] == "in-a-call":
        ctypes.CDLL(None).sleep(60) and ctypes.CDLL(None).sleep(60) and ctypes.CDLL(None).sleep(60)
    while True:
        time.sleep(60)
"""


@pytest.mark.parametrize("place", ["in-python", "in-a-call"])
@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(signal.SIGTERM, signal.SIGTERM, 143), (signal.SIGINT, signal.SIGINT, 130), (signal.SIGTERM, signal.SIGINT, 130)],
)
def test_the_second_signal_stops_at_once(place, first, second, status):
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stderr.readline() == "\n"
        assert process.stderr.readline() == "stopping after this step; press Ctrl-C again to stop immediately\n"
        assert process.poll() is None
        process.send_signal(second)
        assert process.wait(20) == status
    finally:
        process.kill()
        process.communicate()
