"""The one exception that means: the person at the keyboard can mend this."""

import re

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class InputError(ValueError):
    """A request that can't be met as asked: one line that names the requirement, what came, and the mend.

    Args:
        message: The text; line breaks in what came are made spaces, other unprintable characters their escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def printable(text: str) -> str:
    """Returns a text, as the name of a file, in one line that can be encoded: what can't be printed is escaped."""
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)
