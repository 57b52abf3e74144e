"""The exceptions that end a command early."""

import re
import signal

from vae_tf.support.redaction import redact

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class InputError(ValueError):
    """A user error, in one line that states the requirement, what was received, and how to fix it.

    Args:
        message: The message. Line breaks become spaces, other unprintable characters are escaped, and secrets are
            redacted.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escape_unprintable(" ".join(redact(message).split())))


class Interrupted(Exception):  # noqa: N818  # like KeyboardInterrupt, it is not an error
    """The process received a signal to stop.

    Args:
        signal_number: The signal.
        message: Says where the process stopped.
    """

    def __init__(self, signal_number: int, message: str = "") -> None:
        super().__init__(message or f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number
        self.status = 128 + signal_number


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, as `KeyboardInterrupt` is raised on SIGINT."""


def escape_unprintable(text: str) -> str:
    """Escapes unprintable characters in a string, such as a file name, so that it is one line and can be encoded."""
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
