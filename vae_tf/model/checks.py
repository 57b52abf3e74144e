"""Checks of the data and the labels that a user passes to a model."""

import operator
from typing import Any

import numpy as np

from vae_tf.model.likelihood import Likelihood
from vae_tf.support.errors import InputError

ROUNDING = 1e-5


def check_integer(name: str, value: Any, minimum: int | None = None) -> int:
    """Returns an integer of any type as a Python integer.

    Raises:
        InputError: The value is not an integer, or below the minimum.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be an integer. Received: {name}={value}") from None
    if minimum is not None and number < minimum:
        raise InputError(f"{name} must be at least {minimum}. Received: {name}={number}")
    return number


def check_shape(shape: tuple[int | None, ...], example_shape: tuple[int, ...] | None) -> None:
    """Checks that data consists of examples of the given shape, and that there is at least one.

    Args:
        shape: Shape of the data; sizes that are not known yet are `None`.
        example_shape: Shape of one example, `(H, W, C)` or `(F,)`; `None` if the model is not built.

    Raises:
        InputError: The data has another shape, or the model is not built.
    """
    if example_shape is None:
        raise InputError(
            "A VAE must be built before it is used. Received: a VAE that is not built; "
            "call build((None, height, width, channels)), or build((None, features))"
        )
    sizes = zip(shape[1:], example_shape, strict=False)
    fits = len(shape) == 1 + len(example_shape) and all(size in (None, expected) for size, expected in sizes)
    if not fits or shape[0] == 0:
        expected = ", ".join(map(str, ("N", *example_shape)))
        raise InputError(f"The array must have shape ({expected}) with N at least 1. Received: {tuple(shape)}")


def check_label_type(labels: Any, count: int | None) -> None:
    """Checks that labels are integers, one for each example.

    Args:
        labels: An array or a tensor; its size may not be known yet.
        count: Number of examples, if it is known.

    Raises:
        InputError: The labels have another shape, or are not integers.
    """
    shape, dtype = tuple(labels.shape), getattr(labels.dtype, "name", labels.dtype)
    has_shape = len(shape) == 1 and (count is None or shape[0] in (None, count))
    if not has_shape or not dtype.startswith(("int", "uint")):
        size = "N" if count is None else count
        raise InputError(f"labels must be integers of shape ({size},). Received: {dtype} of shape {shape}")


def check_label_range(low: float, high: float, num_classes: int) -> None:
    """Checks that labels between `low` and `high` are valid classes.

    Raises:
        InputError: A label lies outside [0, `num_classes`).
    """
    if low < 0 or high >= num_classes:
        raise InputError(f"labels must be from 0 to {num_classes - 1}. Received: {low:.0f} to {high:.0f}")


def check_value_range(low: float, high: float, likelihood: Likelihood) -> None:
    """Checks that a likelihood is defined for data between `low` and `high`; a bound that is NaN is not checked.

    Raises:
        InputError: The data lies outside the likelihood's `value_range`.
    """
    if likelihood.value_range is None:
        return
    lowest, highest = likelihood.value_range
    if low < lowest - ROUNDING or high > highest + ROUNDING:
        raise InputError(
            f"Values must be from {lowest:g} to {highest:g} for the likelihood {type(likelihood).__name__}. "
            f"Received: values from {low:g} to {high:g}; rescale the data, or use a Gaussian likelihood"
        )


def find_range(values: Any) -> tuple[float, float]:
    """Returns the lowest and the highest value of a non-empty array; NaN is ignored."""
    values = np.asarray(values)
    return float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
