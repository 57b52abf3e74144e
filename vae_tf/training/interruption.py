"""SIGTERM and SIGINT while a run trains: the first is a request to stop after this step, the second stops at once."""

import os
import signal
import socket
import sys
import threading
from types import TracebackType
from typing import Self

from vae_tf.support.errors import Interrupted

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Takes the two signals, as a context manager in the main thread; elsewhere they are left to others.

    Python calls its handlers between two of its own instructions alone, and a call of TensorFlow can take long. So a
    thread listens to the socket into which Python writes the number of a signal at once.
    """

    def __init__(self) -> None:
        self._number: int | None = None

    @property
    def is_requested(self) -> bool:
        """Whether a signal came."""
        return self._number is not None

    @property
    def stop(self) -> Interrupted:
        """What to raise where a signal came, here or to another worker."""
        return Interrupted(self._number or signal.SIGTERM)

    def check(self) -> None:
        """Does nothing where no signal came.

        Raises:
            Interrupted: One came.
        """
        if self.is_requested:
            raise self.stop

    def __enter__(self) -> Self:
        self._is_on = threading.current_thread() is threading.main_thread()
        if self._is_on:
            self._heard, self._told = socket.socketpair()
            self._told.setblocking(False)
            # At no moment do handlers that do nothing stand without the socket, or a signal then would be lost.
            self._descriptor = signal.set_wakeup_fd(self._told.fileno())
            self._handlers = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
            threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_on:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._descriptor)
            self._told.close()

    def _listen(self) -> None:
        while told := self._heard.recv(1):
            number = told[0]
            if number in SIGNALS:
                if self._number is not None:
                    os._exit(Interrupted(number).status)
                self._number = number
                print("\nstopping after this step; once more to stop at once", file=sys.stderr, flush=True)
        self._heard.close()
