"""Where the computation runs, and what it says when it can't."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import tensorflow as tf

from vae_tf.errors import InputError


def use_device(device: Literal["auto", "cpu", "gpu"]) -> str:
    """Restricts TensorFlow to a kind of device; call it before anything is computed.

    On a GPU memory is taken as it is needed, and kernels are deterministic, so that a seed gives the same history
    there. The kernels of a CPU are so by themselves, and the switch would cost them almost half their speed.

    Args:
        device: `"auto"` takes a GPU where there is one.

    Returns:
        What will be used, as `"CPU"` or `"2 GPUs"`.

    Raises:
        InputError: `"gpu"` was asked for and TensorFlow sees none, or `"cpu"` after a GPU was in use.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise InputError("device=gpu needs a GPU that TensorFlow can use. Received: none visible; use --device cpu")
    if device == "cpu" and tf.config.get_visible_devices("GPU"):
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            raise InputError("device=cpu must be chosen before TensorFlow uses a GPU. Received: it does") from None
    if device == "cpu" or not gpus:
        return "CPU"
    for gpu in gpus:
        with suppress(RuntimeError):  # in use already: it keeps what it has
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.config.experimental.enable_op_determinism()
    return f"{len(gpus)} GPU{'s' if len(gpus) > 1 else ''}"


def required_gpus() -> list[str]:
    """Returns the names of the GPUs that TensorFlow sees, as `"NVIDIA T4"`.

    Raises:
        InputError: There is none.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise InputError(
            "require_gpu needs a GPU that TensorFlow can use. Received: none visible; check the driver and "
            "tensorflow[and-cuda], choose a machine with a GPU, or leave out --require-gpu"
        )
    details = map(tf.config.experimental.get_device_details, gpus)
    return [str(detail.get("device_name", "GPU")) for detail in details]


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turns what TensorFlow raises for too little memory or unreadable data into an `InputError`."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError):
        raise InputError(
            "The model and a batch must fit in memory. Received: more than there is; "
            "lower batch_size, image_size, latent_dim or hidden_sizes"
        ) from None
    except tf.errors.OpError as error:
        told = re.search(rf"{InputError.__name__}: (.*)", str(error))
        if told is None:
            raise
        raise InputError(told.group(1)) from None
