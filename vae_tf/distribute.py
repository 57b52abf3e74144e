"""Where the computation runs."""

from typing import Literal

import tensorflow as tf

from vae_tf.errors import InputError


def use_device(device: Literal["auto", "cpu", "gpu"]) -> None:
    """Restricts TensorFlow to a kind of device; call it before anything is computed.

    On a GPU it also asks for deterministic kernels, so that a seed gives the same history there. The kernels
    of a CPU are so by themselves, and the switch would cost them almost half their speed.

    Args:
        device: `"auto"` takes a GPU where there is one.

    Raises:
        InputError: `"gpu"` was asked for and TensorFlow sees none.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise InputError("device=gpu needs a GPU that TensorFlow can use. Received: none visible; use --device cpu")
    if device == "cpu" and tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    if device != "cpu" and gpus:
        tf.config.experimental.enable_op_determinism()
