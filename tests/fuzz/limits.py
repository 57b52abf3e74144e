"""What every case must keep: success or one line, in time, in memory."""

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from vae_tf.support.errors import UNPRINTABLE, InputError

SECONDS = 20
MEMORY = 2**30  # bytes above what the process held before


class HangError(BaseException):
    """No `Exception`, so that nothing takes it for a fault of the file."""


def _hang(*_: object) -> NoReturn:
    raise HangError(f"more than {SECONDS} s")


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Raises where the block raises anything but an `InputError` of one line, hangs, or takes too much memory."""
    message = "success"
    before = _held("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    previous = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(SECONDS)
    try:
        yield
    except InputError as error:
        message = str(error)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    assert message
    assert not UNPRINTABLE.search(message)
    assert _held("VmHWM") - before < MEMORY


def _held(which: str) -> int:
    [kilobytes] = re.findall(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024
