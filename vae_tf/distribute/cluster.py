"""The workers of a run, read from `TF_CONFIG`."""

import json
import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

from vae_tf.support.errors import InputError

DistributionMode = Literal["auto", "none", "mirrored", "multi_worker"]

TF_CONFIG_VAR = "TF_CONFIG"
TASK_TYPES = ("chief", "worker")


@dataclass(frozen=True)
class Cluster:
    """The workers of a run.

    Attributes:
        addresses: `host:port` of each worker; the first is the chief, the only worker that writes files.
        index: Index of this process in `addresses`.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Returns the name of a worker, such as `"Worker 1 (10.0.0.5:2222)"`."""
        return f"Worker {index} ({self.addresses[index]})"


def cluster_from_environment(distribute: DistributionMode) -> Cluster | None:
    """Returns the workers of this run, or `None` if this process is the only one.

    Args:
        distribute: The `--distribute` option; `"none"` and `"mirrored"` use one worker and ignore `TF_CONFIG`.

    Raises:
        InputError: `TF_CONFIG` is not valid, `distribute` is `"multi_worker"` and it lists fewer than two workers, or
            there are several workers and this system is not Linux.
    """
    if distribute not in ("auto", "multi_worker"):
        return None
    cluster = _from_environment()
    if sys.platform != "linux" and (cluster is not None or distribute == "multi_worker"):
        raise InputError(
            f"Training on several machines needs Linux. Received: {sys.platform}; train on Linux, or unset "
            f"{TF_CONFIG_VAR} and omit --distribute"
        )
    if cluster is None and distribute == "multi_worker":
        raise InputError(
            f"distribute=multi_worker needs {TF_CONFIG_VAR} to list at least two workers. "
            f"Received: {TF_CONFIG_VAR}={os.environ.get(TF_CONFIG_VAR, '(not set)')}; set it, or omit --distribute"
        )
    return cluster


def _from_environment() -> Cluster | None:
    text = os.environ.get(TF_CONFIG_VAR)
    if not text:
        return None
    try:
        config = json.loads(text)
        # Empty lists, such as the parameter servers in Azure ML's TF_CONFIG, are dropped: TensorFlow crashes on them.
        jobs = {job: tuple(map(_checked_address, addresses)) for job, addresses in config["cluster"].items()}
        jobs = {job: addresses for job, addresses in jobs.items() if addresses}
        addresses = tuple(address for job in TASK_TYPES for address in jobs.get(job, ()))
        if len(set(addresses)) < len(addresses):
            raise ValueError("an address is listed twice")
        return Cluster(addresses, _index(config["task"], jobs)) if len(addresses) > 1 else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f'{TF_CONFIG_VAR} must have the form {{"cluster": {{"worker": ["host:port", ...]}}, "task": '
            f'{{"type": "worker", "index": 0}}}}. Received: {" ".join(text.split())} ({_reason(error)})'
        ) from None


def _checked_address(address: str) -> str:
    host, _, port = str(address).rpartition(":")
    if not host or not (port.isdecimal() and 0 < int(port) < 2**16):
        raise ValueError(f"{address} is not of the form host:port")
    return address


def _index(task: dict[str, Any], jobs: dict[str, tuple[str, ...]]) -> int:
    """Returns the index of this process among all workers."""
    job, index = task["type"], int(task["index"])
    if unknown := jobs.keys() - set(TASK_TYPES):
        raise ValueError(f"unsupported task type {min(unknown)}")
    if not 0 <= index < len(jobs[job]):
        raise ValueError(f"index {index} is not in 0..{len(jobs[job]) - 1}")
    return index + (len(jobs.get("chief", ())) if job == "worker" else 0)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) if isinstance(error, ValueError) else "unexpected structure"
