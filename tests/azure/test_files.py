"""Every file loads with the SDK and validates; a broken copy of each is caught by the SDK or by the linter."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import azure.ai.ml
import pytest
import yaml
from azure.ai.ml._utils._endpoint_utils import validate_scoring_script
from azure.ai.ml.entities._load_functions import load_model_batch_deployment

from vae_tf.azure_check.rules import check

ROOT = Path(__file__).parents[2]
AZURE = ROOT / "azure"
LOADERS = {
    "workspace": azure.ai.ml.load_workspace,
    "compute": azure.ai.ml.load_compute,
    "data": azure.ai.ml.load_data,
    "environment": azure.ai.ml.load_environment,
    "environment-cpu": azure.ai.ml.load_environment,
    "environment-batch": azure.ai.ml.load_environment,
    "train": azure.ai.ml.load_job,
    "train-distributed": azure.ai.ml.load_job,
    "sweep": azure.ai.ml.load_job,
    "compare-pipeline": azure.ai.ml.load_job,
    "components/train": azure.ai.ml.load_component,
    "components/compare": azure.ai.ml.load_component,
    "model": azure.ai.ml.load_model,
    "endpoint": azure.ai.ml.load_online_endpoint,
    "deployment": azure.ai.ml.load_online_deployment,
    "batch-endpoint": azure.ai.ml.load_batch_endpoint,
    # What the command line uses for `type: model`; azure.ai.ml itself exports the loader of the older form alone.
    "batch-deployment": load_model_batch_deployment,
}
NO_AZURE_FILES = {"conda", "conda-cpu", "conda-batch"}
"""What conda reads."""


def load(name, folder=AZURE):
    return LOADERS[name](folder / f"{name}.yml")


def written(name):
    return yaml.safe_load((AZURE / f"{name}.yml").read_text())


def test_every_file_has_its_loader():
    names = {path.relative_to(AZURE).with_suffix("").as_posix() for path in AZURE.rglob("*.yml")}
    assert names == set(LOADERS) | NO_AZURE_FILES


@pytest.mark.parametrize("name", LOADERS)
def test_file_loads_with_the_sdk_and_validates(name):
    loaded = load(name)
    if hasattr(loaded, "_validate"):
        result = loaded._validate()
        assert result is None or result.passed, result


# A fault in each file, of the kind that a hand makes.
FAULTS = {
    "workspace": ("system_datastores_auth_mode: identity", "system_datastores_auth_mode: [identity]"),
    "compute": ("tier: low_priority", "tier: spot"),
    "data": ("type: uri_folder", "type: folder"),
    "environment": ("conda_file: conda.yml", "conda_file: conda.yaml"),
    "environment-cpu": ("conda_file: conda-cpu.yml", "conda_file: conda-gpu.yml"),
    "environment-batch": ("conda_file: conda-batch.yml", "conda_file: conda-batches.yml"),
    "train": ("${{inputs.variant}}", "${{inputs.varient}}"),
    "train-distributed": ("worker_count: 2", "worker_count: 4"),
    "sweep": ("primary_metric: val_loss", "primary_metric: validation_loss"),
    "compare-pipeline": ("${{parent.jobs.bn.outputs.run}}", "${{parent.jobs.bn.outputs.model}}"),
    "components/train": ("--config", "--configuration"),
    "components/compare": ("${{outputs.report}}", "${{outputs.page}}"),
    "model": ("type: custom_model", "type: keras_model"),
    "endpoint": ("auth_mode: aad_token", "auth_mode: key"),
    "deployment": ("scoring_script: azure/score.py", "scoring_script: azure/scores.py"),
    "batch-endpoint": ("auth_mode: aad_token", "auth_mode: key"),
    "batch-deployment": ("output_action: append_row", "output_action: append_rows"),
}


def findings(root):
    return {finding._replace(path=finding.path.relative_to(root)) for finding in check(root / "azure")}


@pytest.fixture(scope="module")
def findings_before():
    return findings(ROOT)


@pytest.mark.parametrize("name", LOADERS)
def test_broken_copy_is_caught(name, findings_before, tmp_path):
    for folder in ("azure", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    broken = tmp_path / "azure" / f"{name}.yml"
    assert FAULTS[name][0] in broken.read_text()
    broken.write_text(broken.read_text().replace(*FAULTS[name]))

    found = findings(tmp_path) - findings_before

    assert any(tmp_path / finding.path == broken for finding in found) or refused(name, tmp_path / "azure")


def refused(name, folder):
    try:
        load(name, folder)
    except Exception as error:  # each kind of file has its own
        return "alidation" in f"{type(error)} {error}"
    return False


@pytest.mark.parametrize("name", ["train", "train-distributed", "components/train", "components/compare"])
def test_sections_of_a_job_are_in_order(name):
    order = ["code", "command", "inputs", "outputs", "environment", "compute"]
    assert [key for key in written(name) if key in order] == [key for key in order if key in written(name)]


def test_distributed_job_fits_the_cluster_and_is_otherwise_the_one_on_one_node():
    distributed, one = written("train-distributed"), written("train")
    assert distributed["distribution"] == {
        "type": "tensorflow",
        "worker_count": distributed["resources"]["instance_count"],
    }
    assert distributed["resources"]["instance_count"] <= load("compute").max_instances
    assert distributed["command"].startswith(one["command"].strip())
    assert {key for key in one if one[key] != distributed[key]} == {"display_name", "command"}


@pytest.mark.parametrize("name", ["endpoint", "batch-endpoint"])
def test_endpoint_is_entered_with_the_callers_identity(name):
    assert load(name).auth_mode == "aad_token"


def test_compute_scales_to_zero_on_the_low_priority_tier_with_an_identity():
    compute = load("compute")
    assert (compute.min_instances, compute.tier, compute.identity.type) == (0, "low_priority", "system_assigned")


@pytest.mark.parametrize("name", ["environment", "environment-cpu", "environment-batch"])
def test_base_image_is_pinned_and_without_cuda(name):
    assert re.fullmatch(r"mcr\.microsoft\.com/azureml/openmpi[\d.]+-ubuntu[\d.]+:\d{8}\.v\d+", load(name).image)


def test_deployments_have_environments_of_their_own():
    assert written("deployment")["environment"] == "file:./environment-cpu.yml"
    assert written("batch-deployment")["environment"] == "file:./environment-batch.yml"


def test_every_job_has_a_time_limit():
    jobs = [written(name) for name in ("train", "train-distributed", "sweep")]
    jobs += written("compare-pipeline")["jobs"].values()
    assert [job["limits"]["timeout"] > 0 for job in jobs] == [True] * 6
    assert written("sweep")["limits"]["trial_timeout"] <= written("sweep")["limits"]["timeout"]


def test_models_are_named_by_the_output_of_their_job():
    path = "azureml://jobs/$JOB/outputs/run"
    assert f"--path {path}" in (AZURE / "model.yml").read_text()
    assert f"--file azure/model.yml --path {path}\n" in (AZURE / "README.md").read_text()


def test_deployments_name_their_endpoints_and_the_registered_model():
    for deployment, endpoint in (("deployment", "endpoint"), ("batch-deployment", "batch-endpoint")):
        assert load(deployment).endpoint_name == load(endpoint).name
        assert load(deployment).model == f"{load('model').name}@latest"


def test_batch_script_is_python_that_the_sdk_accepts():
    validate_scoring_script(load("batch-deployment"))


def test_jobs_name_the_cluster_and_the_data_by_their_names():
    for name in ("train", "train-distributed", "sweep", "compare-pipeline"):
        assert written(name)["compute"] == f"azureml:{load('compute').name}"
        assert written(name)["inputs"]["data"]["path"] == f"azureml:{load('data').name}@latest"


def test_folder_does_not_hide_the_sdk_from_the_repository_root():
    code = "import azure, azure.ai.ml; print(*azure.__path__)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert str(AZURE) in ended.stdout  # both are parts of one namespace
    assert list(AZURE.rglob("__init__.py")) == []
