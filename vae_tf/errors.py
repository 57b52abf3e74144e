"""The one exception that means: the person at the keyboard can mend this."""


class InputError(ValueError):
    """A request that can't be met as asked: one line that names the requirement, what came, and the mend.

    Args:
        message: The text; line breaks in what came are made spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
