"""Where the computation runs, and what it says when it can't."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Literal

import tensorflow as tf

from vae_tf.config import DenseOptions, RunConfig
from vae_tf.support.errors import InputError

FLOPS_PER_PRODUCT = 6  # a multiplication and an addition, forward and twice backward
SMALL_STEP_FLOPS = 5e8


def use_device(device: Literal["auto", "cpu", "gpu"], *, deterministic: bool = True) -> str:
    """Restricts TensorFlow to a kind of device; call it before anything is computed.

    On a GPU memory is taken as it is needed.

    Args:
        device: `"auto"` takes a GPU where there is one.
        deterministic: Whether a GPU is to take kernels that give a seed the same history. Those of a CPU do so by
            themselves, and the switch would cost them almost half their speed.

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
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    return f"{len(gpus)} GPU{'s' if len(gpus) > 1 else ''}"


def use_threads(config: RunConfig, example_shape: tuple[int, ...]) -> None:
    """Gives each operation of a small dense net one thread; call it before anything is computed.

    Its operations take less time than it takes to share one out: a core for each of several is quicker, by a fifth for
    784-200-200-50 in batches of 100 on two cores.

    Args:
        config: The run, resolved.
        example_shape: `(height, width, channels)` or `(features,)`.
    """
    if config.arch != "dense":
        return
    sizes = (math.prod(example_shape), *config.options(DenseOptions).hidden_sizes, config.latent_dim)
    products = 2 * sum(one * other for one, other in pairwise(sizes))  # of encoder and decoder
    if FLOPS_PER_PRODUCT * products * config.batch_size < SMALL_STEP_FLOPS:
        with suppress(RuntimeError):  # something was computed already: it keeps the threads it has
            tf.config.threading.set_intra_op_parallelism_threads(1)


def has_gpu() -> bool:
    """Returns whether TensorFlow computes on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


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
    """Turns what is raised for too little memory or room, or for unreadable data, into an `InputError`."""
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
    except BrokenPipeError:
        raise  # of who reads what the command prints
    except OSError as error:
        place = error.filename2 or error.filename
        raise InputError(
            f"A run must be able to write its folders to the end. Received: {error.strerror or error}"
            f"{f' ({place})' if place else ''}; mend that, and the same command with the same run_dir goes on from the "
            "last checkpoint that is there"
        ) from None
