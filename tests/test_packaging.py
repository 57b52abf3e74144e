"""What `pip install .` installs, and what the locks pin."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-cuda.lock", "requirements-batch.lock")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "__pycache__", ".*_cache")
    )
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("vae_tf-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_carries_every_module(wheel_names):
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vae_tf").rglob("*.py")}
    assert modules <= wheel_names


def test_wheel_carries_the_bundled_data_and_its_licence(wheel_names):
    assert {"vae_tf/data/bundled/fashion_mnist_sample.npz", "vae_tf/data/bundled/LICENSE"} <= wheel_names


def test_wheel_carries_nothing_but_the_package(wheel_names):
    assert {name.partition("/")[0] for name in wheel_names if ".dist-info/" not in name} == {"vae_tf"}


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_exact_versions_with_hashes_and_names_no_index(lock):
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert entries
    assert [entry for entry in entries if not re.match(r"[\w.-]+==\S+ (;.* )?\\$", entry)] == []
    assert [line for line in lines if "://" in line or "index" in line] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_of_a_lock_has_a_hash_and_nothing_else_is_there(lock):
    text = (ROOT / lock).read_text(encoding="utf-8")
    pins = re.findall(
        r"^\S+==\S.* \\\n(?:    --hash=sha256:[0-9a-f]{64} \\\n)*    --hash=sha256:[0-9a-f]{64}\n", text, re.M
    )
    comments = re.findall(r"^#.*\n", text, re.MULTILINE)
    assert sum(map(len, (*pins, *comments))) == len(text)


def test_development_lock_extends_the_other():
    pins = [set(re.findall(r"^(\S+==\S+)", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS[:2]]
    assert pins[0] < pins[1]
