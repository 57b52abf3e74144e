"""Checks names that the user passes, and suggests the closest match for an unknown name."""

import difflib
from collections.abc import Iterable

from vae_tf.support.errors import InputError


def check_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is one of the `known` names.

    Args:
        kind: What the name selects, for the error message: `"dataset"`, `"arch"`, ...
        name: The name to check.
        known: The valid names.

    Raises:
        InputError: The name is unknown; the message lists the valid names and suggests the closest one.
    """
    known = list(known)
    if name in known:
        return name
    raise InputError(f"{kind} must be one of {', '.join(known)}. Received: {kind}={name}{did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns `". Did you mean x?"` for the closest known name, or an empty string if none is close."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.62)
    return f". Did you mean {matches[0]}?" if matches else ""
