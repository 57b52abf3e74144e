"""Rules of the house about single files; test_imports.py checks what they import from each other."""

import ast
import re
from pathlib import Path

import pytest

import vae_tf
from vae_tf.__main__ import COMMANDS, MODULES

PACKAGE = Path(vae_tf.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
MOST_LINES = 300
PRIVATE = re.compile(
    r"keras\.src\b|(tensorflow|tf)\.(python|core|compiler)\b|(keras|tensorflow|tf)\.(.*\.)?(__internal__|_[^_]\w*)\b"
)
DOCUMENTED = {"_asdict", "_replace", "_exit"}  # public in spite of the underscore: of named tuples, and of os
# tests/backend/test_adam.py, test_replicas.py and test_devices.py fail if Keras or TensorFlow renames one of these.
TESTED = {"_get_variable_index", "_momentums", "_velocities", "_all_reduce_sum_gradients", "_pywrap_util_port"}


def test_no_module_has_more_than_300_lines():
    lines = {name: len(source.splitlines()) for name, source in SOURCES.items()}

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_the_root_of_the_package_holds_only_what_a_user_types_and_the_registry():
    at_root = {name.removesuffix(".py") for name in SOURCES if "/" not in name}

    commands = {name.replace("-", "_") for name in COMMANDS if name not in MODULES}
    assert at_root == {*commands, "__init__", "__main__", "estimator", "registry"}


def names_defined_by(source):
    """Names that a source gives to functions, classes, variables and its own attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


OURS = {name for source in SOURCES.values() for name in names_defined_by(source)}


def private_names(source):
    """Names in a source that are private to Keras, TensorFlow or another package.

    Where an object comes from can't be seen, so any private attribute counts that the package itself does not define.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if PRIVATE.match(alias.name))
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in names if PRIVATE.match(name))
        elif isinstance(node, ast.Attribute):
            is_private = re.match("_[^_]", node.attr) and node.attr not in OURS | DOCUMENTED
            if is_private or PRIVATE.match(ast.unparse(node)):
                yield ast.unparse(node)


def test_private_names_of_other_packages_are_used_only_in_backend():
    used = {name: list(private_names(source)) for name, source in SOURCES.items() if not name.startswith("backend/")}

    assert {name: names for name, names in used.items() if names} == {}


def test_a_test_fails_if_a_private_name_in_backend_goes_away():
    of_backend = [source for name, source in SOURCES.items() if name.startswith("backend/")]
    used = {name.rpartition(".")[2] for source in of_backend for name in private_names(source)}

    assert used == TESTED


@pytest.mark.parametrize(
    "source",
    [
        "from keras.src import tree",
        "from keras import src",
        "import tensorflow.python.eager.context",
        "import keras.src.ops as ops",
        "from keras import _tf_keras",
        "tf.__internal__.eager_context",
        "tf.python.eager",
        "keras._no_such_name",
        "ops._no_such_name(x)",
        "optimizer._all_reduce_sum_gradients = None",
        "class Mine(keras.optimizers.Adam):\n    def update(self):\n        return self._momentums",
    ],
)
def test_the_check_sees_a_private_name(source):
    assert list(private_names(source))


@pytest.mark.parametrize(
    "source", ["keras.__version__", "super().__init__()", "terms._asdict()", "from keras.ops import core", "x.python"]
)
def test_the_check_lets_a_public_name_pass(source):
    assert list(private_names(source)) == []
