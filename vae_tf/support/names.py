"""Names that a user chooses from: checked, with the nearest one suggested."""

import difflib
from collections.abc import Iterable

from vae_tf.support.errors import InputError


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is one of the `known` names.

    Args:
        kind: What the name chooses, for the message: `"dataset"`, `"arch"`, ...
        name: The name to check.
        known: The names there are.

    Raises:
        InputError: The name is not known; the message lists the names and the nearest one.
    """
    known = list(known)
    if name in known:
        return name
    raise InputError(f"{kind} must be one of {', '.join(known)}. Received: {kind}={name}{did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `". Did you mean x?"` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.62)
    return f". Did you mean {near[0]}?" if near else ""
