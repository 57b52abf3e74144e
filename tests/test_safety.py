"""What reads a file never runs what is in it: no pickle, no code, no object of YAML, Keras in safe mode."""

import ast
from pathlib import Path

import pytest

import vae_tf

PACKAGE = Path(vae_tf.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
UNPICKLE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUN = {"eval", "exec", "compile", "__import__"}
YAML_OBJECTS = {"unsafe_load", "full_load", "load_all", "unsafe_load_all", "full_load_all", "Loader", "UnsafeLoader"}
SAFE_LOADERS = {"SafeLoader", "CSafeLoader", "PlainLoader"}


def faults(source: str) -> list[str]:
    return [found for node in ast.walk(ast.parse(source)) for found in _faults_of(node)]


def _faults_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
        return [name for name in modules if name.partition(".")[0] in UNPICKLE]
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "yaml" and node.attr in YAML_OBJECTS:
        return [f"yaml.{node.attr}"]
    if not isinstance(node, ast.Call):
        return []
    called = ast.unparse(node.func)
    found = [called] if called in RUN else []
    if called == "yaml.load" and not any(ast.unparse(given).split(".")[-1] in SAFE_LOADERS for given in _given(node)):
        found.append("yaml.load")
    for keyword in node.keywords:
        if keyword.arg in ("allow_pickle", "safe_mode") and ast.unparse(keyword.value) != str(
            keyword.arg == "safe_mode"
        ):
            found.append(ast.unparse(keyword))
    return found


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_in_the_package_runs_what_it_reads(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def later():\n    from joblib import load",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=allowed)",
        "keras.saving.load_model(path, safe_mode=False)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
    ],
)
def test_the_check_sees_what_is_forbidden(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "np.load(path, allow_pickle=False)",
        "keras.saving.load_model(path, safe_mode=True)",
        "yaml.safe_load(text)",
        "yaml.load(text, PlainLoader)",
        "re.compile(text)\nmodel.compile(optimizer)",
    ],
)
def test_the_check_lets_what_is_allowed_pass(source):
    assert faults(source) == []
