"""The small run that every part uses, and how two such runs are compared."""

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
ADDRESSES = re.compile(rb'"shared_object_id": \d+')  # memory addresses, by which Keras distinguishes objects
LONGEST = 600  # maximum seconds per command
GLANCE = 0.0005  # seconds between two checks on a process


class Ended(NamedTuple):
    """The status and the output of a process that has ended."""

    status: int
    stdout: str
    stderr: str

    def problems(self, status: int = 0, told: str = "", lines: int | None = None) -> list[str]:
        """Returns what is wrong with the status or with stderr.

        Args:
            status: Expected status.
            told: What the last line of stderr should contain.
            lines: Expected number of lines. Default: one, or none if `told` is empty.
        """
        found = [] if self.status == status else [f"status {self.status} instead of {status}"]
        last = self.stderr.splitlines()[-1:]
        if self.stderr.count("\n") != (bool(told) if lines is None else lines) or told not in "".join(last):
            found.append(f"stderr {self.stderr[-400:]!r} instead of {f'a line with {told!r}' if told else 'nothing'}")
        return found


class SmallRun:
    """A training command and its run folder.

    Args:
        folder: Folder of its images and temporary files, shared by runs that are compared.
        path: The run folder.
        options: Further arguments of the command, which override the usual ones.
    """

    def __init__(self, folder: Path, path: Path, *options: str) -> None:
        self.path = path
        self.temporary = folder / "tmp"
        data = folder / "pictures.npz"
        if not data.exists():
            _write_pictures(data)
            self.temporary.mkdir()
        words = [*OPTIONS.split(), "--epochs", str(EPOCHS), "--data-dir", str(data), "--run-dir", str(path), *options]
        self._command = [sys.executable, "-m", "vae_tf.train", *words]

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / CHECKPOINTS

    @property
    def is_finished(self) -> bool:
        """Whether the model exists."""
        return (self.path / MODEL).exists()

    def start(self) -> "subprocess.Popen[str]":
        """Starts the command."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)}
        pipe = subprocess.PIPE
        return subprocess.Popen(self._command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def train(self) -> Ended:
        """Runs the command to its end."""
        return ended(self.start())

    def stop(self, number: int = signal.SIGTERM) -> Ended:
        """Runs the command until it has saved twice, then asks it to stop."""
        process = self.start()
        wait(process, lambda: len(list(self.checkpoints.glob("step_*"))) > 1)
        process.send_signal(number)
        return ended(process)


def ended(process: "subprocess.Popen[str]") -> Ended:
    """Returns the result of a process; one that does not end in time is killed, as its status shows."""
    try:
        stdout, stderr = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
    return Ended(process.returncode, stdout, stderr)


def wait(process: "subprocess.Popen[str]", is_time: Callable[[], bool]) -> bool:
    """Waits until `is_time` returns true, and returns whether the process is still running."""
    until = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < until:
        if is_time():
            return True
        time.sleep(GLANCE)
    return False


def content(path: Path) -> dict[str, str]:
    """Returns a digest of each thing in a run folder that does not depend on a clock."""
    found = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.name == LOCK or file.is_dir():
            continue
        if CHECKPOINTS in file.relative_to(path).parts:  # progress.json contains seconds
            found[name] = ""
        elif name == MODEL:
            with zipfile.ZipFile(file) as archive:
                parts = {part: archive.read(part) for part in ("config.json", "model.weights.h5")}
            parts["config.json"] = ADDRESSES.sub(b"", parts["config.json"])
            found |= {f"{name}:{part}": _digest(value) for part, value in parts.items()}
        elif name == HISTORY:
            found[name] = _digest(repr(_history(file)).encode())
        else:
            found[name] = _digest(file.read_bytes())
    return found


def differences(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Returns what is missing, extra or different in one of two contents."""
    return (
        [f"{name} is missing" for name in wanted if name not in found]
        + [f"{name} is too much" for name in found if name not in wanted]
        + [f"{name} is another" for name in wanted if name in found and found[name] != wanted[name]]
    )


def _history(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name not in CLOCK} for row in csv.DictReader(file)]


def _digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def _write_pictures(path: Path) -> None:
    generator = np.random.default_rng(0)
    arrays = {f"x_{split}": generator.integers(0, 256, (n, 12, 12, 1), np.uint8) for split, n in SIZES}
    np.savez(path, allow_pickle=False, **arrays)
