"""The notebooks run from end to end, on the small budget their parameters cell allows."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SMALL = {
    "quickstart.ipynb": "epochs = 1\nnum_train = 256\nfolder = 'quickstart'",
    "compare_v1_v2.ipynb": (
        "data = {'dataset': 'npz', 'data_dir': 'tiny.npz'}\nmodel = {'arch': 'dense', 'latent_dim': 3}\n"
        "epochs = 2\nseeds = [0]\nfolder = 'v1_v2'"
    ),
    "azure.ipynb": f"submit = False\nrepository = {str(NOTEBOOKS.parent)!r}\nvariant = 'plain'",
}
IMAGES = {"quickstart.ipynb": 5, "compare_v1_v2.ipynb": 3}


def test_every_notebook_has_a_small_budget_here():
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} == set(SMALL)


def executed(name, folder, monkeypatch):
    """The notebook after a run in a folder, on its small budget."""
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOKS.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    images = np.random.default_rng(0).integers(0, 256, (160, 8, 8), np.uint8)
    labels = np.arange(160) % 2
    np.savez(folder / "tiny.npz", x_train=images[:80], x_test=images[80:], y_train=labels[:80], y_test=labels[80:])
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = SMALL[name]
    NotebookClient(notebook, kernel_name="python3", timeout=300, resources={"metadata": {"path": folder}}).execute()
    return notebook


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.slow
def test_notebook_runs_and_shows_its_images(name, tmp_path, monkeypatch):
    notebook = executed(name, tmp_path, monkeypatch)
    images = [o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(images) == IMAGES[name]


@pytest.mark.slow
def test_azure_notebook_finds_no_fault_and_shows_the_job(tmp_path, monkeypatch):
    notebook = executed("azure.ipynb", tmp_path, monkeypatch)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout").splitlines()
    assert printed[0].startswith("python -m vae_tf.train --config ${{inputs.config}}")
    assert printed[1:] == ["on gpu-cluster", "['plain', 'bn', 'compare']"]


@pytest.mark.parametrize("name", SMALL)
def test_notebook_is_committed_without_outputs(name):
    cells = nbformat.read(NOTEBOOKS / name, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
