"""What `.amlignore` keeps at home, decided by the SDK's own reader."""

import shutil
from pathlib import Path

import pytest
from azure.ai.ml._utils._asset_utils import get_ignore_file, get_object_hash, get_upload_files_from_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    shutil.copy(ROOT / ".amlignore", tmp_path)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    return tmp_path


def uploaded(folder):
    return {name for _, name in get_upload_files_from_folder(folder, ignore_file=get_ignore_file(folder))}


def add(folder, name, text=""):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.parametrize(
    "name", ["vae_tf/train.py", "vae_tf/data/bundled/x.npz", "configs/x.yml", "azure/train.yml", "azure/score.py"]
)
def test_package_configs_and_azure_files_are_uploaded(folder, name):
    add(folder, name)
    assert uploaded(folder) == {name}


@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".git/config", ".venv/bin/python", "azure/.env", "vae_tf/.secrets/key", "key.pem"),
        *("runs/x/model.keras", "tests/test_x.py", "tests/azure/test_x.py", "notebooks/x.ipynb", "README.md"),
        *("vae_tf/__pycache__/x.cpython-311.pyc", "build/lib/vae_tf/train.py", "my_images/0.png"),
    ],
)
def test_everything_else_stays(folder, name):
    add(folder, name)
    assert uploaded(folder) == set()


def test_a_changed_module_changes_the_hash(folder):
    """The reader asks about folders too: one that seems excluded would leave all it holds out of the hash."""
    add(folder, "vae_tf/model/vae.py", "1")
    before = get_object_hash(folder, get_ignore_file(folder))
    add(folder, "vae_tf/model/vae.py", "2")
    assert get_object_hash(folder, get_ignore_file(folder)) != before
