"""The one exception that means: the person at the keyboard can mend this."""


class InputError(ValueError):
    """A request that can't be met as asked: one line that names the requirement, what came, and the mend."""
