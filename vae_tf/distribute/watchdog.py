"""A separate process that ends a worker, with a one-line reason, if another worker fails.

TensorFlow can't be interrupted from within: it holds Python's lock while it starts, and handles SIGTERM itself.
"""

import json
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from vae_tf.distribute.peers import DONE, ERROR, STARTED, fault, read_line, tell


class Watchdog:
    """Listens to the watched process and to the workers it is connected to.

    Args:
        watched: Connection to the watched process.
        pid: Process ID of the watched process.
        workers: Names of the workers by connection.
        is_chief: Whether the watched process is the chief, which passes on what a worker reports.
        timeout: Seconds that TensorFlow has to start.
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
        self._busy = {watched, *workers}

    def run(self) -> None:
        """Returns when all are done; if a worker fails, ends the watched process and this one."""
        while self._busy:
            wait = None if self._deadline is None else max(self._deadline - time.monotonic(), 0)
            readable, _, _ = select.select(list(self._busy), [], [], wait)
            if not readable:
                self._fail(
                    f"TensorFlow must start on all workers within {self._timeout:g} s. Received: no start; let the "
                    "workers reach each other at the addresses that TF_CONFIG names, or raise --worker-timeout"
                )
            for connection in readable:
                if connection is self._watched:
                    self._hear_watched()
                else:
                    self._hear_worker(connection)
        if self._is_chief:
            tell(self._workers, DONE)

    def _hear_watched(self) -> None:
        line = read_line(self._watched)
        if line == STARTED:
            self._deadline = None
        elif line == DONE:
            self._busy.remove(self._watched)
            if not self._is_chief:
                tell(self._workers, DONE)
        else:  # the watched process prints its own error, or is gone
            if line:
                tell(self._workers, line)
            sys.exit()

    def _hear_worker(self, connection: socket.socket) -> None:
        try:
            line = read_line(connection)
        except OSError:  # a machine that was cut off
            line = ""
        if line == DONE:
            self._busy.remove(connection)
        else:
            self._fail(fault(line, self._workers[connection]))

    def _fail(self, message: str) -> NoReturn:
        print(f"error: {message}", file=sys.stderr, flush=True)
        tell(self._workers, ERROR + message)
        if os.getppid() == self._pid:
            os.kill(self._pid, signal.SIGKILL)
        sys.exit()


def main() -> None:
    """Runs the watchdog, as started by `Peers.watch`."""
    task = json.loads(sys.argv[1])
    workers = {socket.socket(fileno=int(number)): name for number, name in task.pop("workers").items()}
    for connection in workers:
        connection.settimeout(None)
    Watchdog(socket.socket(fileno=task.pop("watched")), workers=workers, **task).run()


if __name__ == "__main__":
    main()
