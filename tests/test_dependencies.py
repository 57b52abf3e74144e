"""The table of dependencies is what pyproject.toml names, and what the packages say of themselves."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in (ROOT / "docs" / "DEPENDENCIES.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("|")
][2:]


def named():
    """(package, range, extra) of every dependency but the package itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    by_extra = {"": project["dependencies"], **project["optional-dependencies"]}
    requirements = [(Requirement(text), text, extra) for extra, texts in by_extra.items() for text in texts]
    return [
        (*re.match(r"([\w.-]+(?:\[[\w,-]+\])?)([^;]*)", text).groups(), extra)
        for requirement, text, extra in requirements
        if requirement.name != project["name"]
    ]


def stated_licence(package):
    """The newest of the three ways in which a package can state its licence."""
    about = metadata.metadata(package)
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [name.rpartition(" :: ")[2] for name in about.get_all("Classifier") if name.startswith("License")]
    return " AND ".join(classifiers) or about.get("License")


def test_the_table_names_what_pyproject_names():
    assert sorted(row[:3] for row in ROWS) == sorted(named())


# Those of bench are in no lock, and each wheel of torch has another list.
@pytest.mark.parametrize(("package", "licence"), [(row[0], row[3]) for row in ROWS if row[2] != "bench"])
def test_the_licence_is_the_one_that_the_package_states(package, licence):
    assert stated_licence(Requirement(package).name) == licence


@pytest.mark.parametrize(
    ("system", "packages"),
    [
        (("linux", "x86_64"), ["tensorflow"]),  # WSL2 is one of these
        (("linux", "aarch64"), []),
        (("darwin", "arm64"), []),
        (("win32", "AMD64"), []),
    ],
)
def test_cuda_is_installed_where_tensorflow_has_a_build_for_it(system, packages):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = map(Requirement, project["optional-dependencies"]["cuda"])
    environment = dict(zip(("sys_platform", "platform_machine"), system, strict=True))

    assert [each.name for each in requirements if each.marker.evaluate(environment)] == packages


def test_every_row_says_what_for():
    assert [row[0] for row in ROWS if len(row) != 5 or not row[3] or not row[4]] == []
