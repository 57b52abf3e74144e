"""What ends a command other than its own end."""

import re
import signal

from vae_tf.support.redaction import redacted

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class InputError(ValueError):
    """A request that can't be met as asked: one line that names the requirement, what came, and the mend.

    Args:
        message: The text; line breaks in what came are made spaces, other unprintable characters their escapes, and
            secrets are left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(redacted(message).split())))


class Interrupted(Exception):  # noqa: N818  # no error, as KeyboardInterrupt is none
    """A signal asked the process to stop.

    Args:
        number: Of the signal.
        message: Where it stopped.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message or f"stopped by {signal.Signals(number).name}")
        self.number = number
        self.status = 128 + number


class Terminated(KeyboardInterrupt):
    """What SIGTERM is where SIGINT would be a `KeyboardInterrupt`."""


def printable(text: str) -> str:
    """Returns a text, as the name of a file, in one line that can be encoded: what can't be printed is escaped."""
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
