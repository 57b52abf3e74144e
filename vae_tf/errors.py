"""The one exception that means: the person at the keyboard can mend this."""

from vae_tf.redaction import redacted


class InputError(ValueError):
    """A request that can't be met as asked: one line that names the requirement, what came, and the mend.

    Args:
        message: The text; line breaks in what came are made spaces, and secrets are left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(redacted(message).split()))
