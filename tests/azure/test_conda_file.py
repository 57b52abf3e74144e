"""The conda files follow the locks."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ("conda.yml", "conda-cpu.yml", "conda-batch.yml")
PINNED = re.compile(r"([\w.\[\]-]+)==([\w.]+)")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_conda_file", ROOT / "scripts" / "make_conda_file.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pip_packages(name):
    return yaml.safe_load((ROOT / "azure" / name).read_text())["dependencies"][-1]["pip"]


def versions(name):
    return dict(PINNED.fullmatch(package).groups() for package in pip_packages(name))


@pytest.mark.parametrize("name", FILES)
def test_it_is_what_the_script_makes_of_the_locks(script, name):
    assert (ROOT / "azure" / name).read_text() == script.build_conda_files(ROOT)[name], "run make lock"


@pytest.mark.parametrize("name", FILES)
def test_every_package_is_pinned(name):
    assert [package for package in pip_packages(name) if not PINNED.fullmatch(package)] == []


def test_jobs_have_tensorflows_cuda_libraries_each_pinned():
    libraries = {name for name in versions("conda.yml") if name.startswith("nvidia-")}
    assert {"nvidia-cublas-cu12", "nvidia-cudnn-cu12", "nvidia-cuda-runtime-cu12"} < libraries
    assert "tensorflow[and-cuda]" in versions("conda.yml")


def test_endpoint_has_tensorflow_of_the_same_version_without_gpu_support():
    endpoint = versions("conda-cpu.yml")
    assert endpoint["tensorflow-cpu"] == versions("conda.yml")["tensorflow[and-cuda]"]
    assert [name for name in endpoint if name.startswith("nvidia-")] == []
    assert "azureml-inference-server-http" in endpoint


def test_batch_deployment_has_what_the_service_requires_and_reads_the_models_of_a_job():
    batch, jobs = versions("conda-batch.yml"), versions("conda.yml")
    assert {"azureml-core", "azureml-dataset-runtime"} < batch.keys()
    same = [name for name in jobs if name.startswith(("keras", "tensorflow", "nvidia-"))]
    assert {name: batch[name] for name in same} == {name: jobs[name] for name in same}


def test_cuda_lock_agrees_with_the_runtime_lock(script):
    runtime, cuda = (script.read_pins(ROOT / name) for name in ("requirements.lock", "requirements-cuda.lock"))
    assert {name for name in runtime.keys() & cuda.keys() if runtime[name] != cuda[name]} == set()
    assert all(name.startswith("nvidia-") for name in cuda.keys() - runtime.keys())


def test_pins_for_other_systems_are_left_out(script, tmp_path):
    (tmp_path / "x.lock").write_text(
        "here==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:0\nthere==2.0 ; sys_platform == 'win32' \\\n"
        "old==3.0 ; python_full_version < '3.11' \\\neverywhere==4.0 \\\n"
    )
    assert script.read_pins(tmp_path / "x.lock") == {"here": "1.0", "everywhere": "4.0"}


@pytest.mark.parametrize("name", FILES)
def test_job_has_the_python_that_the_package_supports(script, name):
    assert f"python={script.PYTHON}" in (ROOT / "azure" / name).read_text()
