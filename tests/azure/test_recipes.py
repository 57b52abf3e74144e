"""The `--set` recipes of azure/README.md, submitted through the SDK's client to the stand-in for Azure."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from azure.ai.ml import load_job

ROOT = Path(__file__).parents[2]
README = (ROOT / "azure" / "README.md").read_text(encoding="utf-8")
STORE = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture(scope="module")
def name():
    """The stand-in is new for each name of a job file."""
    return "train"


@pytest.fixture(scope="module")
def submit(azure, tmp_path_factory):
    """Submits azure/train.yml with the options of a recipe; returns the new job's name and its properties."""
    stand_in, client = azure
    folder = tmp_path_factory.mktemp("checkout") / "azure"
    folder.mkdir()
    for name in ("train.yml", "environment.yml", "conda.yml"):
        shutil.copy(ROOT / "azure" / name, folder)

    def submit(*overrides):
        client.jobs.create_or_update(load_job(folder / "train.yml", params_override=list(overrides)))
        call = [call for call in stand_in.management() if call.method == "PUT" and "/jobs/" in call.path][-1]
        return call.path.rpartition("/")[2], call.json["properties"]

    return submit


def recipe(text, **variables):
    """Returns the `--set` options of the README's only submission of train.yml that contains a text."""
    lines = [line for line in README.splitlines() if "--file azure/train.yml" in line and text in line]
    (line,) = lines
    for variable, value in variables.items():
        line = line.replace(f"${variable}", value)
    assert "$" not in line.removeprefix("RESUMED=$(")
    words = shlex.split(re.sub(r"^\w+=\$\((.*)\)$", r"\1", line))
    pairs = [word.split("=", 1) for word in words[words.index("--set") + 1 :]]
    return [{pair[0]: pair[1]} for pair in pairs if len(pair) == 2]


def folders(job_name, properties):
    return {
        output: properties["outputs"][output]["uri"].replace("${{name}}", job_name) for output in ("run", "checkpoints")
    }


def test_resubmitted_job_has_folders_of_its_own(submit):
    first, second = submit(), submit()
    assert first[0] != second[0]
    assert folders(*first)["checkpoints"] != folders(*second)["checkpoints"]


def test_resumed_job_has_the_folders_of_the_job_that_was_evicted(submit):
    first = submit()
    resumed = submit(*recipe("outputs.checkpoints.path", JOB=first[0]))
    assert resumed[0] != first[0]
    assert folders(*resumed) == folders(*first)
    assert folders(*resumed) == {
        "run": f"{STORE}/vae_tf/{first[0]}",
        "checkpoints": f"{STORE}/vae_tf_checkpoints/{first[0]}",
    }
    assert {output["mode"] for output in resumed[1]["outputs"].values() if "uri" in output} == {"ReadWriteMount"}
    assert resumed[1]["command"] == first[1]["command"]


def test_serverless_job_names_its_machine_and_runs_as_the_user(submit):
    _, properties = submit(*recipe("serverless"))
    assert not properties.get("computeId") or properties["computeId"].endswith("serverless")
    assert properties["resources"]["instanceType"] == "Standard_NC4as_T4_v3"
    assert properties["identity"] == {"identityType": "UserIdentity"}
    assert properties["queueSettings"]["jobTier"] == "Spot"


def test_job_with_vs_code_offers_the_service(submit):
    _, properties = submit(*recipe("vs_code"))
    assert [service["jobServiceType"] for service in properties["services"].values()] == ["VSCode"]


def test_job_ends_after_its_time_limit(submit):
    _, properties = submit()
    assert properties["limits"] == {"jobLimitsType": "Command", "timeout": "P1D"}
