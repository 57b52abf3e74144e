"""vae_tf on macOS and on Windows, as far as Linux can simulate them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from simulation import View, check_closed, guard_files, missing_names

from vae_tf.support import files

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SYSTEMS = ("darwin", "win32")
SMALL_MODEL = ("--arch", "dense", "--hidden-sizes", 8, "--latent-dim", 2)


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        *(("darwin", name) for name in ("socket.TCP_KEEPIDLE", "os.sched_getaffinity")),
        *(("win32", name) for name in ("os.geteuid", "os.O_DIRECTORY", "signal.SIGKILL", "signal.pthread_sigmask")),
        *(("win32", name) for name in ("fcntl.flock", "resource.getrusage", "socket.AF_UNIX")),
    ],
)
def test_the_simulation_knows_what_a_system_lacks(platform, name):
    module, _, attribute = name.partition(".")

    assert attribute in missing_names(platform, module)


@pytest.mark.parametrize("platform", SYSTEMS)
def test_the_simulation_keeps_what_a_system_has(platform):
    assert View(os, platform).replace is os.replace
    assert View(sys, platform).platform == platform
    assert not {"SIGTERM", "SIGINT", "set_wakeup_fd"} & missing_names(platform, "signal")
    assert not {"socketpair", "TCP_KEEPINTVL"} & missing_names(platform, "socket")


@pytest.fixture
def windows_files(monkeypatch):
    """Lets `os` refuse what it refuses on Windows, in this process."""
    monkeypatch.setattr(files, "sys", View(sys, "win32"))
    guard_files(monkeypatch.setattr)


def test_open_files_and_folders_are_refused_as_on_windows(windows_files, tmp_path):
    for name in ("open", "mapped", "closed", "folder/open"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(8))
    mapped = np.memmap(tmp_path / "mapped", mode="r")

    with (tmp_path / "open").open(), (tmp_path / "folder" / "open").open():
        for name in ("open", "mapped", "folder"):
            with pytest.raises(PermissionError):
                (tmp_path / name).rename(tmp_path / "new")
        with pytest.raises(PermissionError):
            (tmp_path / "closed").replace(tmp_path / "open")
        with pytest.raises(PermissionError):
            (tmp_path / "mapped").unlink()
    with pytest.raises(PermissionError):
        os.open(tmp_path, os.O_RDONLY)
    with (tmp_path / "closed").open("rb") as file, pytest.raises(OSError, match="Bad file descriptor"):
        os.fsync(file.fileno())

    del mapped
    check_closed(tmp_path / "mapped")
    shutil.rmtree(tmp_path / "folder")


@pytest.fixture
def data(tmp_path):
    """A file of noise without labels, which is evaluated faster."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.savez(tmp_path / "images.npz", x_train=pixels[:40], x_test=pixels[40:])
    return "images.npz"


def test_a_run_trains_resumes_and_is_replaced_on_the_files_of_windows(windows_files, command, data, tmp_path):
    train = ("train", "--dataset", "npz", "--data-dir", data, *SMALL_MODEL, "--run-dir", "run")
    for name, *words in (
        (*train, "--epochs", 1),
        (*train, "--epochs", 2),
        (*train, "--epochs", 1, "--overwrite"),
    ):
        ended = command(name, *words, cwd=tmp_path)
        assert ended.status == 0, ended.stderr

    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert "run/model.keras" in names
    assert [name for name in names if re.search(r'[<>:"|?*\\]|[. ](/|$)', name)] == []
    assert max(map(len, names)) < 80  # docs/systems.md; Windows allows 260 in all


def simulated(platform, *words, cwd):
    return subprocess.run(
        [sys.executable, HERE / "commands.py", platform, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


# macOS lacks hardly anything that Windows has.
@pytest.mark.parametrize("platform", [pytest.param("darwin", marks=pytest.mark.slow), "win32"])
def test_every_module_can_be_imported(platform, tmp_path):
    done = simulated(platform, cwd=tmp_path)

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("platform", SYSTEMS)
def test_the_commands_run(platform, data, tmp_path):
    done = simulated(platform, data, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Resumed after step 1 of 2" in done.stdout
    assert done.stdout.count("Test ELBO") == 3


@pytest.mark.slow
@pytest.mark.parametrize("platform", SYSTEMS)
def test_no_name_that_a_system_lacks_is_used_anywhere(platform, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--platform", platform, "--cache-dir", tmp_path, "vae_tf"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout
