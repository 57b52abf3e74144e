"""Chooses the devices to compute on, and converts runtime errors to one-line messages."""

import functools
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port

from vae_tf.config import DenseOptions, RunConfig
from vae_tf.support.errors import InputError

FLOPS_PER_WEIGHT = 6  # a multiplication and an addition, once in the forward pass and twice in the backward pass
SMALL_STEP_FLOPS = 5e8
HIDE_ALL_GPUS = ("", "-1")  # values of CUDA_VISIBLE_DEVICES that hide all GPUs
REMEDIES = {
    "darwin": "TensorFlow supports no GPU on macOS, so train on Linux",
    "win32": "TensorFlow supports GPUs on Windows only in WSL2, so install vae_tf there with pip install '.[cuda]'",
}
REMEDY = (
    "run pip install '.[cuda]' in the folder that contains vae_tf's pyproject.toml, "
    "and check the driver with nvidia-smi"
)


def use_device(device: Literal["auto", "cpu", "gpu"], *, deterministic: bool = True) -> str:
    """Restricts TensorFlow to one kind of device; call it before any computation.

    On a GPU, TensorFlow allocates memory only as needed. Prints a warning if `device` is `"auto"` and TensorFlow does
    not see the machine's NVIDIA GPU.

    Args:
        device: `"auto"` uses a GPU if there is one.
        deterministic: Whether to use GPU kernels that give the same results for the same seed. CPU kernels always do;
            enabling op determinism would make them almost twice as slow, so it is not enabled on the CPU.

    Returns:
        The devices that will be used, such as `"CPU"` or `"2 GPUs"`.

    Raises:
        InputError: `device` is `"gpu"` and TensorFlow sees no GPU, or `device` is `"cpu"` and TensorFlow has
            already initialized a GPU.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise InputError(
            f"device=gpu needs a GPU, and TensorFlow does not see one; {_find_remedy()}, or use --device cpu"
        )
    if device == "cpu" and tf.config.get_visible_devices("GPU"):
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            raise InputError(
                "device=cpu must be set before TensorFlow initializes the GPU, which has already happened; "
                "start a new process"
            ) from None
    if device == "auto" and not gpus:
        _warn_about_unused_gpu()
    if device == "cpu" or not gpus:
        return "CPU"
    for gpu in gpus:
        with suppress(RuntimeError):  # already initialized: its memory setting can no longer change
            tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    return f"{len(gpus)} GPU{'s' if len(gpus) > 1 else ''}"


def _find_remedy() -> str:
    """Returns what to do on this system if TensorFlow sees no GPU."""
    return REMEDIES.get(sys.platform, REMEDY)


@functools.cache  # once per process
def _warn_about_unused_gpu() -> None:
    if _has_nvidia_gpu():
        print(
            "warning: this machine has an NVIDIA GPU, but TensorFlow does not see it, so the CPU is used; "
            f"{_find_remedy()}, or use --device cpu",
            file=sys.stderr,
            flush=True,
        )


def _has_nvidia_gpu() -> bool:
    """Returns whether an NVIDIA driver is installed and the user has not hidden its GPUs."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in HIDE_ALL_GPUS:
        return False
    # In WSL2, /dev/dxg stands for a GPU of any vendor.
    if sys.platform == "win32" or Path("/dev/dxg").exists():
        return shutil.which("nvidia-smi") is not None
    return Path("/dev/nvidiactl").exists()


def limit_threads(config: RunConfig, example_shape: tuple[int, ...]) -> None:
    """Limits each operation of a small dense network to one thread; call it before any computation.

    These operations are so short that splitting one across threads costs more than it saves. Running several
    operations in parallel, each on its own core, is faster: by a fifth for 784-200-200-50 in batches of 100 on two
    cores.

    Args:
        config: The run's config, with all defaults filled in.
        example_shape: `(height, width, channels)` or `(features,)`.
    """
    if config.arch != "dense":
        return
    sizes = (math.prod(example_shape), *config.options(DenseOptions).hidden_sizes, config.latent_dim)
    num_weights = 2 * sum(inputs * outputs for inputs, outputs in pairwise(sizes))  # encoder and decoder
    if FLOPS_PER_WEIGHT * num_weights * config.batch_size < SMALL_STEP_FLOPS:
        with suppress(RuntimeError):  # TensorFlow has already started: the number of threads can no longer change
            tf.config.threading.set_intra_op_parallelism_threads(1)


def uses_onednn() -> bool:
    """Returns whether TensorFlow uses oneDNN's kernels on the CPU; results differ in rounding if it does not."""
    # The environment variable alone does not say it: its default depends on the CPU, and on how TensorFlow was built.
    return bool(_pywrap_util_port.IsMklEnabled())


def warn_if_bfloat16_is_slow(precision: str, device: str) -> None:
    """Warns if training in bfloat16 is slower than in float32, because the CPU has no kernels for it.

    oneDNN's bfloat16 kernels need AVX-512 or newer
    (https://uxlfoundation.github.io/oneDNN/dev_guide_data_types.html#hardware-limitations).

    Args:
        precision: The run's precision.
        device: The result of `use_device`.
    """
    if precision == "mixed_bfloat16" and device == "CPU" and not _has_avx512():
        print(
            "warning: this CPU has no AVX-512, so mixed_bfloat16 is slower than float32; remove --precision",
            file=sys.stderr,
        )


def _has_avx512() -> bool:
    # NumPy calls the group of AVX-512 instructions AVX512_SKX until version 2.3, and X86_V4 from 2.4 on.
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return any(name.startswith(("AVX512", "X86_V4")) for name in found)


def has_gpu() -> bool:
    """Returns whether TensorFlow computes on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def require_gpus() -> list[str]:
    """Returns the names of the GPUs that TensorFlow sees, such as `"NVIDIA T4"`.

    Raises:
        InputError: TensorFlow sees no GPU.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise InputError(
            f"require_gpu needs a GPU, and TensorFlow does not see one; {_find_remedy()}, or omit --require-gpu"
        )
    details = map(tf.config.experimental.get_device_details, gpus)
    return [str(detail.get("device_name", "GPU")) for detail in details]


@contextmanager
def convert_runtime_errors() -> Iterator[None]:
    """Converts out-of-memory, disk-full and unreadable-data errors to `InputError`."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError):
        raise InputError(
            "Out of memory: the model and one batch must fit in memory; "
            "lower batch_size, image_size, latent_dim or hidden_sizes"
        ) from None
    except tf.errors.OpError as error:
        match = re.search(rf"{InputError.__name__}: (.*)", str(error))
        if match is None:
            raise
        raise InputError(match.group(1)) from None
    except BrokenPipeError:
        raise  # the reader of the command's output has exited; this is not a disk error
    except OSError as error:
        path = error.filename2 or error.filename
        raise InputError(
            f"Reading or writing failed: {error.strerror or error}{f' ({path})' if path else ''}; fix the cause, then "
            "rerun the command (train with the same run_dir resumes from the last checkpoint)"
        ) from None
