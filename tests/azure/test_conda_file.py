"""The conda file follows the locks."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_conda_file", ROOT / "scripts" / "make_conda_file.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pip_packages():
    return yaml.safe_load((ROOT / "azure" / "conda.yml").read_text())["dependencies"][-1]["pip"]


def test_it_is_what_the_script_makes_of_the_locks(script):
    assert (ROOT / "azure" / "conda.yml").read_text() == script.build_conda_file(ROOT), "run make lock"


def test_every_package_is_pinned(pip_packages):
    assert [package for package in pip_packages if not re.fullmatch(r"[\w.\[\]-]+==[\w.]+", package)] == []


def test_tensorflow_brings_its_cuda_libraries(pip_packages):
    assert [package for package in pip_packages if package.startswith("tensorflow[and-cuda]==")] != []


def test_pins_for_other_systems_are_left_out(script, tmp_path):
    (tmp_path / "x.lock").write_text(
        "here==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:0\nthere==2.0 ; sys_platform == 'win32' \\\n"
        "old==3.0 ; python_full_version < '3.11' \\\neverywhere==4.0 \\\n"
    )
    assert script.read_pins(tmp_path / "x.lock") == {"here": "1.0", "everywhere": "4.0"}


def test_job_has_the_python_that_the_package_supports(script):
    assert f"python={script.PYTHON}" in (ROOT / "azure" / "conda.yml").read_text()
