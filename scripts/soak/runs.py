"""A small training run that all scenarios use, and the comparison of two such runs."""

import csv
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_tf.runs.run_dir import CHECKPOINTS, HISTORY, MODEL
from vae_tf.support.files import LOCK

from .report import ROOT

CLOCK = ("seconds", "images_per_second")
EPOCHS = 5
SIZES = (("train", 60), ("test", 20))
OPTIONS = (
    "--dataset npz --variant bn --arch dense --hidden-sizes 32 --latent-dim 2 --batch-size 8 --ema 0.9 --device cpu "
    "--checkpoint-steps 2 --sample-every 1"
)
ADDRESSES = re.compile(rb'"shared_object_id": \d+')  # memory addresses, which Keras uses as object IDs
TIMEOUT = 600  # maximum seconds per command
POLL_SECONDS = 0.0005  # seconds between two checks on a process


class ProcessResult(NamedTuple):
    """The exit status and the output of a process."""

    status: int
    stdout: str
    stderr: str

    def problems(self, status: int = 0, message: str = "", lines: int | None = None) -> list[str]:
        """Returns the problems with the status or with stderr.

        Args:
            status: Expected status.
            message: Text that the last line of stderr should contain.
            lines: Expected number of lines. Default: one, or none if `message` is empty.
        """
        found = [] if self.status == status else [f"status {self.status} instead of {status}"]
        last = self.stderr.splitlines()[-1:]
        if self.stderr.count("\n") != (bool(message) if lines is None else lines) or message not in "".join(last):
            expected = f"a line with {message!r}" if message else "nothing"
            found.append(f"stderr {self.stderr[-400:]!r} instead of {expected}")
        return found


class SmallRun:
    """A training command and its run folder.

    Args:
        folder: Folder of its images and temporary files, shared by runs that are compared.
        path: The run folder.
        options: Further arguments of the command, which override the default ones.
    """

    def __init__(self, folder: Path, path: Path, *options: str) -> None:
        self.path = path
        self.temporary = folder / "tmp"
        data = folder / "images.npz"
        if not data.exists():
            _write_images(data)
            self.temporary.mkdir()
        words = [*OPTIONS.split(), "--epochs", str(EPOCHS), "--data-dir", str(data), "--run-dir", str(path), *options]
        self._command = [sys.executable, "-m", "vae_tf.train", *words]

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def is_finished(self) -> bool:
        """Whether the run has saved its model."""
        return (self.path / MODEL).exists()

    def start(self) -> "subprocess.Popen[str]":
        """Starts the command."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)}
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def train(self) -> ProcessResult:
        """Runs the command until it ends."""
        return finish(self.start())

    def stop(self, number: int = signal.SIGTERM) -> ProcessResult:
        """Runs the command until it has saved twice, then sends it a signal to stop."""
        process = self.start()
        wait(process, lambda: len(list(self.checkpoints.glob("step_*"))) > 1)
        process.send_signal(number)
        return finish(process)


def finish(process: "subprocess.Popen[str]") -> ProcessResult:
    """Waits for a process to end, and returns its result; kills a process that does not end in time."""
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
    return ProcessResult(process.returncode, stdout, stderr)


def wait(process: "subprocess.Popen[str]", condition: Callable[[], bool]) -> bool:
    """Waits until a condition is true, and returns whether the process is still running."""
    deadline = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(POLL_SECONDS)
    return False


def digest_contents(path: Path) -> dict[str, str]:
    """Returns digests of everything in a run folder that does not depend on the clock, by name."""
    found = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.name == LOCK or file.is_dir():
            continue
        if CHECKPOINTS in file.relative_to(path).parts:  # progress.json contains seconds
            found[name] = ""
        elif name == MODEL:
            with zipfile.ZipFile(file) as archive:
                members = {member: archive.read(member) for member in ("config.json", "model.weights.h5")}
            members["config.json"] = ADDRESSES.sub(b"", members["config.json"])
            found |= {f"{name}:{member}": _digest(value) for member, value in members.items()}
        elif name == HISTORY:
            found[name] = _digest(repr(_history(file)).encode())
        else:
            found[name] = _digest(file.read_bytes())
    return found


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Returns what is missing, unexpected or different in the contents of a run folder."""
    return (
        [f"{name} is missing" for name in expected if name not in found]
        + [f"{name} is unexpected" for name in found if name not in expected]
        + [f"{name} is different" for name in expected if name in found and found[name] != expected[name]]
    )


def _history(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name not in CLOCK} for row in csv.DictReader(file)]


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def _write_images(path: Path) -> None:
    generator = np.random.default_rng(0)
    arrays = {f"x_{split}": generator.integers(0, 256, (n, 12, 12, 1), np.uint8) for split, n in SIZES}
    np.savez(path, allow_pickle=False, **arrays)
