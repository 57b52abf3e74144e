"""TCP connections between the workers of a run.

The workers use them to check that all of them have started, have the same configuration, and have finished.

TensorFlow waits a long time for a worker that never starts, ignores signals while it waits, and buries the failure of a
worker in pages of output. The workers therefore connect to each other first: the chief listens at its own address,
which TensorFlow uses only later, and every other worker connects to it. The connections stay open. If one closes early,
the worker at the other end has exited; TCP keep-alive also detects a machine that has lost its network connection.
While TensorFlow runs, a separate process watches the connections.
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
from vae_tf.support.redaction import redact

WELCOME = "welcome"
GO = "go"
STARTED = "started"
DONE = "done"
ERROR = "error: "
INTERRUPTED = "interrupted; restart all workers"
WATCHDOG_INDEX = -1
MAX_REASON_LENGTH = 400
RETRY_INTERVAL = 0.2
RESPONSE_TIMEOUT = 2.0
WATCHDOG_TIMEOUT = 30.0
# Shorter than the defaults: a lost machine is detected after idle + count * interval = 20 s. The options are looked up
# when a connection is made, because macOS lacks one of them.
KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 5}


class Peers:
    """The chief's connections to all other workers, or another worker's connection to the chief.

    Args:
        cluster: The workers.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._connections: dict[int, socket.socket] = {}  # by the index of the worker at the other end
        self._watchdog: subprocess.Popen[bytes] | None = None

    def connect(self, timeout: float) -> None:
        """Connects the workers, and returns once all of them have started.

        Args:
            timeout: Maximum time to wait, in seconds.

        Raises:
            InputError: A worker did not start in time.
        """
        if self.cluster.is_chief:
            self._accept_all(timeout)
        else:
            self._connections[0] = _connect_to_chief(self.cluster, timeout)
        self.check_equal("addresses in TF_CONFIG", ",".join(self.cluster.addresses), timeout)

    def _accept_all(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        _, _, port = self.cluster.addresses[0].rpartition(":")
        try:
            listener = socket.create_server(("", int(port)))
        except OSError as error:
            raise InputError(
                "The port that TF_CONFIG assigns to this worker must be free. "
                f"Received: {self.cluster.addresses[0]} ({os.strerror(error.errno or 0)})"
            ) from None
        with listener:
            while missing := set(range(1, len(self.cluster.addresses))) - self._connections.keys():
                listener.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    raise _timeout_error(self.cluster.name(min(missing)), timeout) from None
                self._accept(connection)

    def _accept(self, connection: socket.socket) -> None:
        """Keeps a connection if it comes from a worker; anyone can connect to an open port."""
        _configure(connection)
        try:
            index = int(read_line(connection))
            send_line(connection, WELCOME)
        except (OSError, ValueError):
            connection.close()
        else:
            self._connections[index] = connection

    def check_equal(self, name: str, value: str, timeout: float | None = None) -> None:
        """Returns once every worker has called this with the same value.

        Args:
            name: Name of the value in the error message.
            value: One line of text.
            timeout: Maximum time, in seconds, to wait for the slowest worker. Default: no limit while it is alive.

        Raises:
            InputError: A worker reported a different value, failed or disconnected.
        """
        if self.cluster.is_chief:
            for index in self._connections:
                if self._receive_line(index, timeout) != value:
                    worker = self.cluster.name(index)
                    raise InputError(
                        f"All workers must have the same {name}. Received: different {name} from {worker}; restart all "
                        f"workers with the same {name}"
                    )
            broadcast(self._connections.values(), GO)
        else:
            broadcast(self._connections.values(), value)
            self._receive_line(0, timeout)

    def broadcast_from_chief(self, line: str | None) -> str:
        """Sends a line of text from the chief to all other workers, and returns it on every worker.

        Args:
            line: The line on the chief; `None` on the other workers.

        Raises:
            InputError: The chief failed or disconnected.
        """
        if line is None:
            return self._receive_line(0, None)
        broadcast(self._connections.values(), line)
        return line

    def _receive_line(self, index: int, timeout: float | None) -> str:
        connection = self._connections[index]
        connection.settimeout(timeout)
        try:
            line = read_line(connection)
        except OSError:
            line = ""
        if not line or line.startswith(ERROR):
            raise InputError(failure_message(line, self.cluster.name(index)))
        return line

    def start_watchdog(self, timeout: float) -> None:
        """Starts a watchdog, which kills this process if a worker fails or TensorFlow does not start.

        The watchdog takes over the connections.

        Args:
            timeout: Seconds within which `report_started` must be called.
        """
        parent_socket, child_socket = socket.socketpair()
        workers = {connection.fileno(): self.cluster.name(index) for index, connection in self._connections.items()}
        task = {
            "watched": child_socket.fileno(),
            "pid": os.getpid(),
            "workers": workers,
            "is_chief": self.cluster.is_chief,
            "timeout": timeout,
        }
        self._watchdog = subprocess.Popen(
            [sys.executable, "-m", "vae_tf.distribute.watchdog", json.dumps(task)],
            pass_fds=[child_socket.fileno(), *workers],
            process_group=0,  # so that Ctrl-C reaches only this process
        )
        for connection in (child_socket, *self._connections.values()):
            connection.close()
        self._connections = {WATCHDOG_INDEX: parent_socket}

    def report_started(self) -> None:
        """Reports to the watchdog that TensorFlow has started."""
        broadcast(self._connections.values(), STARTED)

    def disconnect(self, error: str | None = None) -> None:
        """Disconnects: immediately if there is an error, otherwise once all workers have finished."""
        broadcast(self._connections.values(), DONE if error is None else ERROR + error)
        if self._watchdog is not None:
            self._watchdog.wait()
        for connection in self._connections.values():
            connection.close()

    def _wait_for_watchdog(self) -> None:
        """Gives the watchdog time to report that another worker has exited, and to kill this process."""
        if self._watchdog is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._watchdog.wait(WATCHDOG_TIMEOUT)


@contextlib.contextmanager
def connected_peers(cluster: Cluster | None, timeout: float) -> Iterator[Peers | None]:
    """Connects to the other workers, reports to them how this one ends, and waits until all have finished.

    Args:
        cluster: The workers; `None` if this process is the only one.
        timeout: Maximum time, in seconds, to wait for the others.

    Raises:
        InputError: A worker did not start in time.
    """
    if cluster is None:
        yield None
        return
    peers = Peers(cluster)
    try:
        peers.connect(timeout)
        yield peers
    except Interrupted:  # all workers stop at the same step
        peers.disconnect()
        raise
    except BaseException as error:
        if type(error).__module__.startswith("tensorflow"):
            peers._wait_for_watchdog()  # if another worker has exited, the watchdog's message is clearer
        reason = INTERRUPTED if isinstance(error, KeyboardInterrupt) else redact(str(error))
        peers.disconnect(textwrap.shorten(reason, MAX_REASON_LENGTH) or type(error).__name__)
        raise
    peers.disconnect()


def _connect_to_chief(cluster: Cluster, timeout: float) -> socket.socket:
    host, _, port = cluster.addresses[0].rpartition(":")
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            connection = socket.create_connection((host, int(port)), RESPONSE_TIMEOUT)
            _configure(connection)
            send_line(connection, str(cluster.index))
            if read_line(connection) == WELCOME:
                return connection
        except OSError:
            pass
        time.sleep(RETRY_INTERVAL)
    raise _timeout_error(cluster.name(0), timeout)


def _configure(connection: socket.socket) -> None:
    connection.settimeout(RESPONSE_TIMEOUT)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEP_ALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _timeout_error(name: str, timeout: float) -> InputError:
    return InputError(
        f"Every worker listed in TF_CONFIG must start within {timeout:g} s. Received: no response from {name}; start "
        "it, check that the workers can reach each other, or raise --worker-timeout"
    )


def send_line(connection: socket.socket, line: str) -> None:
    """Sends a line.

    Raises:
        OSError: The connection is broken.
    """
    connection.sendall(" ".join(line.split()).encode() + b"\n")


def broadcast(connections: Iterable[socket.socket], line: str) -> None:
    """Sends a line over all connections that are still open."""
    for connection in connections:
        with contextlib.suppress(OSError):
            send_line(connection, line)


def read_line(connection: socket.socket) -> str:
    """Returns the next line, or `""` if the connection has closed.

    Raises:
        OSError: The connection is broken or timed out.
    """
    line = b""
    while (byte := connection.recv(1)) not in (b"", b"\n"):
        line += byte
    return line.decode(errors="replace") if byte else ""


def failure_message(line: str, name: str) -> str:
    """Returns the error message for a worker that sent an error or disconnected.

    Args:
        line: The line it sent; `""` if its connection closed.
        name: Name of the worker. An error from the chief concerns all workers, so its name is left out.
    """
    if not line:
        return f"Lost connection to {name}; restart all workers"
    text = line.removeprefix(ERROR)
    return text if name.startswith("Worker 0 ") and text != INTERRUPTED else f"{name}: {text}"
