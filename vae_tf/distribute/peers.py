"""TCP connections between the workers of a run, to check that all of them are there, agree, and are done.

TensorFlow waits a long time for a worker that never comes, ignoring signals, and reports a dead worker in pages of
output. So the workers connect first: the chief listens at its own address, which TensorFlow takes only afterwards, and
every other worker connects to it. The connections stay open. If one closes early, the worker at the other end is gone;
TCP keep-alive also detects a machine that is cut off. While TensorFlow runs, a separate process watches the
connections.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator

from vae_tf.distribute.cluster import Cluster
from vae_tf.support.errors import InputError, Interrupted
from vae_tf.support.redaction import redacted

WELCOME = "welcome"
GO = "go"
STARTED = "started"
DONE = "done"
ERROR = "error: "
INTERRUPTED = "interrupted; start them all again"
WATCHDOG = -1
LONGEST_REASON = 400
SECONDS_BETWEEN_TRIES = 0.2
SECONDS_TO_ANSWER = 2.0
SECONDS_FOR_A_VERDICT = 30.0
# Shorter than the defaults: a machine that is cut off is noticed after idle + count * interval = 20 s.
KEEP_ALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 2, socket.TCP_KEEPCNT: 5}


class Peers:
    """The chief's connections to all other workers, or another worker's connection to the chief.

    Args:
        cluster: The workers.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._connections: dict[int, socket.socket] = {}  # by the number of the worker at the other end
        self._watchdog: subprocess.Popen[bytes] | None = None

    def meet(self, timeout: float) -> None:
        """Connects the workers, and returns once all of them are there.

        Args:
            timeout: Maximum seconds to wait.

        Raises:
            InputError: A worker did not come up in time.
        """
        if self.cluster.is_chief:
            self._welcome_all(timeout)
        else:
            self._connections[0] = _connection_to_chief(self.cluster, timeout)
        self.agree("addresses in TF_CONFIG", ",".join(self.cluster.addresses), timeout)

    def _welcome_all(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        _, _, port = self.cluster.addresses[0].rpartition(":")
        try:
            listener = socket.create_server(("", int(port)))
        except OSError as error:
            raise InputError(
                f"The port that TF_CONFIG gives to this worker must be free. "
                f"Received: {self.cluster.addresses[0]} ({os.strerror(error.errno or 0)})"
            ) from None
        with listener:
            while missing := set(range(1, len(self.cluster.addresses))) - self._connections.keys():
                listener.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    raise _absence(self.cluster.name(min(missing)), timeout) from None
                self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        """Accepts a connection if it comes from a worker; anyone can connect to an open port."""
        _configure(connection)
        try:
            number = int(read_line(connection))
            send_line(connection, WELCOME)
        except (OSError, ValueError):
            connection.close()
        else:
            self._connections[number] = connection

    def agree(self, what: str, value: str, timeout: float | None = None) -> None:
        """Returns once every worker has called this with the same value.

        Args:
            what: Name of the values for the error message.
            value: One line of text.
            timeout: Maximum seconds to wait for the slowest worker. Default: as long as it is alive.

        Raises:
            InputError: A worker has another value, failed, or is gone.
        """
        if self.cluster.is_chief:
            for number in self._connections:
                if self._line_from(number, timeout) != value:
                    who = self.cluster.name(number)
                    raise InputError(f"All workers must have the same {what}. Received: others on {who}")
            tell(self._connections.values(), GO)
        else:
            tell(self._connections.values(), value)
            self._line_from(0, timeout)

    def from_chief(self, line: str | None) -> str:
        """Returns a line of text from the chief, on every worker.

        Args:
            line: The line on the chief; `None` on the other workers.

        Raises:
            InputError: The chief failed, or is gone.
        """
        if line is None:
            return self._line_from(0, None)
        tell(self._connections.values(), line)
        return line

    def _line_from(self, number: int, timeout: float | None) -> str:
        connection = self._connections[number]
        connection.settimeout(timeout)
        try:
            line = read_line(connection)
        except OSError:
            line = ""
        if not line or line.startswith(ERROR):
            raise InputError(fault(line, self.cluster.name(number)))
        return line

    def watch(self, timeout: float) -> None:
        """Starts a watchdog, which ends this process if a worker fails or TensorFlow does not start.

        The watchdog takes over the connections.

        Args:
            timeout: Seconds within which `started` must be called.
        """
        here, there = socket.socketpair()
        workers = {connection.fileno(): self.cluster.name(number) for number, connection in self._connections.items()}
        task = {
            "watched": there.fileno(),
            "pid": os.getpid(),
            "workers": workers,
            "is_chief": self.cluster.is_chief,
            "timeout": timeout,
        }
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "vae_tf.distribute.watchdog", json.dumps(task)],
            pass_fds=[there.fileno(), *workers],
            process_group=0,  # so that Ctrl-C reaches only this process
        )
        for connection in (there, *self._connections.values()):
            connection.close()
        self._connections = {WATCHDOG: here}

    def started(self) -> None:
        """Tells the watchdog that TensorFlow has started."""
        tell(self._connections.values(), STARTED)

    def leave(self, error: str | None = None) -> None:
        """Disconnects: at once if there is an error, otherwise when all workers are done."""
        tell(self._connections.values(), DONE if error is None else ERROR + error)
        if self._watchdog is not None:
            self._watchdog.wait()
        for connection in self._connections.values():
            connection.close()

    def _await_verdict(self) -> None:
        """Gives the watchdog time to report that another worker is gone, and to end this process."""
        if self._watchdog is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._watchdog.wait(SECONDS_FOR_A_VERDICT)


@contextlib.contextmanager
def connected_peers(cluster: Cluster | None, timeout: float) -> Iterator[Peers | None]:
    """Connects to the other workers, reports to them how this one ends, and waits until all are done.

    Args:
        cluster: The workers; `None` if this process is the only one.
        timeout: Maximum seconds to wait for the others.

    Raises:
        InputError: A worker did not come up in time.
    """
    if cluster is None:
        yield None
        return
    peers = Peers(cluster)
    try:
        peers.meet(timeout)
        yield peers
    except Interrupted:  # all workers stop at the same step
        peers.leave()
        raise
    except BaseException as error:
        if type(error).__module__.startswith("tensorflow"):
            peers._await_verdict()  # if another worker is gone, the watchdog has the clearer message
        reason = INTERRUPTED if isinstance(error, KeyboardInterrupt) else redacted(str(error))
        peers.leave(textwrap.shorten(reason, LONGEST_REASON) or type(error).__name__)
        raise
    peers.leave()


def _connection_to_chief(cluster: Cluster, timeout: float) -> socket.socket:
    host, _, port = cluster.addresses[0].rpartition(":")
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            connection = socket.create_connection((host, int(port)), SECONDS_TO_ANSWER)
            _configure(connection)
            send_line(connection, str(cluster.index))
            if read_line(connection) == WELCOME:
                return connection
        except OSError:
            pass
        time.sleep(SECONDS_BETWEEN_TRIES)
    raise _absence(cluster.name(0), timeout)


def _configure(connection: socket.socket) -> None:
    connection.settimeout(SECONDS_TO_ANSWER)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEP_ALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _absence(name: str, timeout: float) -> InputError:
    return InputError(
        f"Every worker that TF_CONFIG names must come up within {timeout:g} s. Received: no answer from {name}; "
        "start it too, let the workers reach each other, or raise --worker-timeout"
    )


def send_line(connection: socket.socket, line: str) -> None:
    """Sends a line.

    Raises:
        OSError: The connection is broken.
    """
    connection.sendall(" ".join(line.split()).encode() + b"\n")


def tell(connections: Iterable[socket.socket], line: str) -> None:
    """Sends a line to all connections that are still open."""
    for connection in connections:
        with contextlib.suppress(OSError):
            send_line(connection, line)


def read_line(connection: socket.socket) -> str:
    """Returns the next line, or `""` if the connection has ended.

    Raises:
        OSError: The connection is broken or timed out.
    """
    line = b""
    while (byte := connection.recv(1)) not in (b"", b"\n"):
        line += byte
    return line.decode(errors="replace") if byte else ""


def fault(line: str, name: str) -> str:
    """Returns the error message about a worker that sent an error or disconnected.

    Args:
        line: The line it sent; `""` if its connection closed.
        name: Name of the worker. An error from the chief is about all workers, so its name is left out.
    """
    if not line:
        return f"All workers must run to the end. Received: {name} is gone; start them all again"
    text = line.removeprefix(ERROR)
    return text if name.startswith("Worker 0 ") and text != INTERRUPTED else f"{name}: {text}"
