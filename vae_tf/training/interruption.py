"""Stops training on SIGTERM or SIGINT: after the current step on the first signal, immediately on the second."""

import os
import signal
import socket
import sys
import threading
from types import TracebackType
from typing import Self

from vae_tf.support.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalHandler:
    """Handles SIGTERM and SIGINT, as a context manager in the main thread; in other threads it does nothing.

    Python runs its signal handlers only between two bytecode instructions, and a call to TensorFlow can take a long
    time. A thread therefore listens to the socket to which Python writes the number of a signal as soon as it arrives.
    """

    def __init__(self) -> None:
        self._number: int | None = None

    @property
    def is_stop_requested(self) -> bool:
        """Whether a signal was received."""
        return self._number is not None

    @property
    def exception(self) -> Interrupted:
        """The exception to raise after this or another worker received a signal."""
        return Interrupted(self._number or signal.SIGTERM)

    def check(self) -> None:
        """Raises an error if a signal was received.

        Raises:
            Interrupted: A signal was received.
        """
        if self.is_stop_requested:
            raise self.exception

    def __enter__(self) -> Self:
        self._is_active = threading.current_thread() is threading.main_thread()
        if self._is_active:
            self._receiver, self._sender = socket.socketpair()
            self._sender.setblocking(False)
            # Set the wakeup socket before the no-op handlers; otherwise a signal in between would be lost.
            self._previous_fd = signal.set_wakeup_fd(self._sender.fileno())
            self._previous_handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
            threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_active:
            for number, handler in self._previous_handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._previous_fd)
            self._sender.close()

    def _listen(self) -> None:
        while received := self._receiver.recv(1):
            number = received[0]
            if number in SIGNALS:
                if self._number is not None:
                    os._exit(Interrupted(number).status)
                self._number = number
                print("\nstopping after this step; press Ctrl-C again to stop immediately", file=sys.stderr, flush=True)
        self._receiver.close()
