"""Write the conda file of the Azure ML environment from the lock files.

    python scripts/make_conda_file.py

It pins what requirements.lock pins, including TensorFlow's CUDA libraries, and what a job needs on Azure ML.
"""

import re
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "azure" / "conda.yml"
PYTHON = "3.11"
# The endpoint's server, and what connects tracking to the job's run; requirements-dev.lock has their versions.
ON_AZURE = ("azureml-inference-server-http", "azureml-mlflow", "mlflow-skinny")
EXTRAS = {"tensorflow": "[and-cuda]"}
ON_THE_NODE: dict[str, str] = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}
PIN = re.compile(r"^(\S+)==(\S+)(?: ; (.*))? \\$", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    """Returns the versions that a lock file pins on a node."""
    found = PIN.findall(lock.read_text(encoding="utf-8"))
    return {name: version for name, version, marker in found if not marker or Marker(marker).evaluate(ON_THE_NODE)}


def conda_file(root: Path) -> str:
    """Returns the text of the conda file for the lock files in `root`."""
    developing = pins(root / "requirements-dev.lock")
    wanted = {**pins(root / "requirements.lock"), **{name: developing[name] for name in ON_AZURE}}
    lines = [f"      - {name}{EXTRAS.get(name, '')}=={wanted[name]}" for name in sorted(wanted)]
    return "\n".join(
        [
            "# Written by scripts/make_conda_file.py from the locks; `make lock` writes it anew.",
            "name: vae-tf",
            "channels:",
            "  - conda-forge",
            "dependencies:",
            f"  - python={PYTHON}",
            "  - pip",
            "  - pip:",
            *lines,
            "",
        ]
    )


def main() -> None:
    TARGET.write_text(conda_file(ROOT), encoding="utf-8")
    print(TARGET)


if __name__ == "__main__":
    main()
