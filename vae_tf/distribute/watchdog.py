"""A separate process that kills a worker, with a one-line error message, if another worker fails.

TensorFlow can't be interrupted from within the process: it holds the GIL while it starts, and handles SIGTERM itself.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from vae_tf.distribute.peers import DONE, ERROR, STARTED, broadcast, failure_message, read_line


class Watchdog:
    """Listens to the watched process and to the workers it is connected to.

    Args:
        watched: Connection to the watched process.
        pid: Process ID of the watched process.
        workers: Names of the workers by connection.
        is_chief: Whether the watched process is the chief; the chief's watchdog forwards what a worker reports.
        timeout: Maximum time for TensorFlow to start, in seconds.
    """

    def __init__(
        self, watched: socket.socket, pid: int, workers: dict[socket.socket, str], *, is_chief: bool, timeout: float
    ) -> None:
        self._watched = watched
        self._pid = pid
        self._workers = workers
        self._is_chief = is_chief
        self._timeout = timeout
        self._deadline: float | None = time.monotonic() + timeout
        self._active = {watched, *workers}

    def run(self) -> None:
        """Returns once all have finished; if a worker fails, kills the watched process and exits."""
        while self._active:
            wait = None if self._deadline is None else max(self._deadline - time.monotonic(), 0)
            readable, _, _ = select.select(list(self._active), [], [], wait)
            if not readable:
                self._fail(
                    f"TensorFlow did not start on all workers within {self._timeout:g} s; make sure that the workers "
                    "can reach each other at the addresses in TF_CONFIG, or raise --worker-timeout"
                )
            for connection in readable:
                if connection is self._watched:
                    self._handle_watched()
                else:
                    self._handle_worker(connection)
        if self._is_chief:
            broadcast(self._workers, DONE)

    def _handle_watched(self) -> None:
        line = read_line(self._watched)
        if line == STARTED:
            self._deadline = None
        elif line == DONE:
            self._active.remove(self._watched)
            if not self._is_chief:
                broadcast(self._workers, DONE)
        else:  # the watched process prints its own error, or has exited
            if line:
                broadcast(self._workers, line)
            sys.exit()

    def _handle_worker(self, connection: socket.socket) -> None:
        try:
            line = read_line(connection)
        except OSError:  # the machine has lost its network connection
            line = ""
        if line == DONE:
            self._active.remove(connection)
        else:
            self._fail(failure_message(line, self._workers[connection]))

    def _fail(self, message: str) -> NoReturn:
        print(f"error: {message}", file=sys.stderr, flush=True)
        broadcast(self._workers, ERROR + message)
        if os.getppid() == self._pid:
            os.kill(self._pid, signal.SIGKILL)  # type: ignore[attr-defined, unused-ignore]  # not on Windows
        sys.exit()


def main() -> None:
    """Runs the watchdog, as started by `Peers.start_watchdog`."""
    task = json.loads(sys.argv[1])
    workers = {socket.socket(fileno=int(number)): name for number, name in task.pop("workers").items()}
    for connection in workers:
        connection.settimeout(None)
    Watchdog(socket.socket(fileno=task.pop("watched")), workers=workers, **task).run()


if __name__ == "__main__":
    main()
