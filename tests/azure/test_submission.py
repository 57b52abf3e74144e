"""A real client of the SDK submits the jobs to a stand-in for Azure on 127.0.0.1."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from azure.ai.ml import load_job

ROOT = Path(__file__).parents[2]
JOBS = ("train", "train-distributed", "sweep", "compare-pipeline")
UPLOADED = ("azure", "configs", "vae_tf")
MAX_UPLOAD = 8_000_000
PLANTED = "planted-secret"
# What lies around in a checkout and must stay there.
PLANTED_FILES = (
    ".env",
    ".git/config",
    ".venv/lib/site.py",
    ".amltoken",
    "azure/.env",
    "configs/.env.yml",
    "notebooks/run.ipynb",
    "runs/x/config.yml",
    "tests/test_x.py",
    "my_images/0.png",
    "key.pem",
    "vae_tf/__pycache__/train.cpython-311.pyc",
    "vae_tf/.ipynb_checkpoints/train.py",
)


class Submission(NamedTuple):
    calls: list
    job: dict
    uploaded: dict[str, bytes]

    def steps(self):
        """Each call of the management service, with random names left out."""
        named = re.compile(r"(?<=/)([0-9a-f-]{36}|[0-9a-f]{64}|[a-z]+_[a-z]+_[0-9a-z]{10})(?=/|$)")
        return [f"{call.method} {named.sub('*', call.path.partition('the-workspace')[2])}" for call in self.calls]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    for name in UPLOADED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in (".amlignore", ".gitignore", "README.md"):
        shutil.copy(ROOT / name, folder)
    for name in PLANTED_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(PLANTED)
    return folder


@pytest.fixture(scope="module", params=JOBS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def submission(name, checkout, azure):
    stand_in, client = azure
    client.jobs.create_or_update(load_job(checkout / "azure" / f"{name}.yml"))
    return Submission(stand_in.management(), stand_in.submitted_job(), stand_in.blobs())


def written(name):
    return yaml.safe_load((ROOT / "azure" / f"{name}.yml").read_text())


def intended():
    files = [path for name in UPLOADED for path in (ROOT / name).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


UPLOAD = [
    "GET /codes/*/versions",
    "POST /codes/*/versions/1/startPendingUpload",
    "PUT /codes/*/versions/1",
]
ENVIRONMENT = ["PUT /environments/CliV2AnonymousEnvironment/versions/*"]
DATA = ["GET /data/pictures", "GET /data/pictures/versions/3"]
SUBMIT = ["PUT /jobs/*"]
EXPECTED_CALLS = {
    "train": [*UPLOAD, *ENVIRONMENT, *DATA, *SUBMIT],
    "train-distributed": [*UPLOAD, *ENVIRONMENT, *DATA, *SUBMIT],
    "sweep": [*UPLOAD, *ENVIRONMENT, *DATA, *SUBMIT],
    "compare-pipeline": [
        "GET ",  # the workspace itself
        *("GET /computes/gpu-cluster", *UPLOAD, *UPLOAD, *ENVIRONMENT * 3, *DATA, *SUBMIT),
        *("PUT /components/azureml_anonymous/versions/*",) * 2,
    ],
}


def test_management_service_is_asked_for_what_a_submission_needs(name, submission):
    assert sorted(submission.steps()) == sorted(EXPECTED_CALLS[name])


def test_job_is_submitted_last_and_once(submission):
    assert submission.steps().index(*SUBMIT) == len(submission.steps()) - 1


def test_uploaded_files_are_exactly_the_intended_ones(checkout, submission):
    assert {path.removeprefix(f"{checkout.name}/") for path in submission.uploaded} == intended()


def test_upload_is_small(submission):
    assert 0 < sum(map(len, submission.uploaded.values())) < MAX_UPLOAD


def test_upload_carries_each_file_whole(checkout, submission):
    for path, content in submission.uploaded.items():
        assert content == (checkout.parent / path).read_bytes(), path


def test_no_planted_secret_and_no_token_is_sent(submission):
    sent = [*submission.uploaded.values(), *(call.body for call in submission.calls)]
    assert [body for body in sent if PLANTED.encode() in body or b"eyJ" in body] == []


def test_caller_is_known_by_the_own_identity_alone(submission):
    assert all(call.headers["Authorization"].startswith("Bearer eyJ") for call in submission.calls)


def test_compute_is_the_cluster_by_name(submission):
    assert submission.job["computeId"].endswith("/computes/gpu-cluster")


def test_images_are_read_from_the_newest_version(submission):
    data = submission.job["inputs"]["data"]
    assert data["uri"].endswith("/data/pictures/versions/3")
    assert data["jobInputType"] == "uri_folder"


@pytest.mark.parametrize("name", ["train", "train-distributed", "sweep"], scope="module")
def test_run_folder_is_named_after_the_job(submission):
    uri = "azureml://datastores/workspaceblobstore/paths/vae_tf/${{name}}"
    assert submission.job["outputs"]["run"] == {"uri": uri, "mode": "ReadWriteMount", "jobOutputType": "uri_folder"}


@pytest.mark.parametrize("name", ["train", "train-distributed", "sweep"], scope="module")
def test_job_reads_and_writes_as_the_cluster(submission):
    assert submission.job["identity"] == {"identityType": "Managed"}


@pytest.mark.parametrize("name", ["train", "train-distributed"], scope="module")
def test_command_arrives_as_written(name, submission):
    assert submission.job["command"] == written(name)["command"]


@pytest.mark.parametrize("name", ["train-distributed"], scope="module")
def test_service_starts_a_worker_on_each_node(submission):
    assert submission.job["distribution"] == {
        "distributionType": "TensorFlow",
        "workerCount": 2,
        "parameterServerCount": 0,
    }
    assert submission.job["resources"]["instanceCount"] == 2


@pytest.mark.parametrize("name", ["sweep"], scope="module")
def test_trial_objective_and_search_space_arrive_as_written(submission):
    job, sweep = submission.job, written("sweep")
    assert job["trial"]["command"] == sweep["trial"]["command"]
    assert job["objective"] == {"goal": "minimize", "primaryMetric": "val_loss"}
    assert job["searchSpace"].keys() == sweep["search_space"].keys()
    assert job["earlyTermination"]["policyType"] == "MedianStopping"


@pytest.mark.parametrize("name", ["compare-pipeline"], scope="module")
def test_two_trainings_run_in_parallel_before_the_comparison(submission):
    jobs = submission.job["jobs"]
    waits_for = {name: re.findall(r"parent\.jobs\.(\w+)", str(job["inputs"])) for name, job in jobs.items()}
    assert waits_for == {"plain": [], "bn": [], "compare": ["plain", "bn"]}


@pytest.mark.parametrize("name", ["compare-pipeline"], scope="module")
def test_steps_read_and_write_as_the_cluster(submission):
    assert [job["identity"] for job in submission.job["jobs"].values()] == [{"identity_type": "Managed"}] * 3


@pytest.mark.parametrize("name", ["compare-pipeline"], scope="module")
def test_commands_of_the_steps_arrive_as_written(submission):
    components = [call.json["properties"]["componentSpec"] for call in submission.calls if "/components/" in call.path]
    assert [spec["command"] for spec in components] == [
        written(f"components/{name}")["command"] for name in ("train", "compare")
    ]
