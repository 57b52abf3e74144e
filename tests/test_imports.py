"""The one-way order of DESIGN.md: a module imports only modules above it, wherever the import stands."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vae_tf

PACKAGE = Path(vae_tf.__file__).parent
ORDER = (
    "support",
    "registry",
    "config",
    "backend",
    "data",
    "model",
    "metrics",
    "plots",
    "runs",
    "distribute",
    "training",
    "report",
    "serving",
    "commands",
)
# What stands at the root of the package, next to the registry: what a user types.
COMMANDS = {
    "__main__",
    "train",
    "evaluate",
    "compare",
    "sample",
    "encode",
    "score",
    "fit_sampler",
    "completion",
    "estimator",
    "azure_check",
}
MAY_IMPORT_TENSORFLOW = ("support", "backend", "data", "distribute", "training")


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"}


def imports_of(source, module, is_package=False):
    """Full names of what a module imports anywhere: `a.b` for `import a.b`, `a.b.c` for `from a.b import c`."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*start, node.module] if node.module else start)
            yield from (f"{prefix}.{alias.name}" for alias in node.names)


def faults(module, imports):
    """What the order forbids among the imports of a module."""
    return [f"{module} imports {name}" for name in imports if not allowed(module, name.split("."))]


def allowed(module, imported):
    importing = module.split(".")[1]
    if imported[0] == "tensorflow":
        return importing in MAY_IMPORT_TENSORFLOW
    if imported[0] != "vae_tf" or imported == ["vae_tf", "__version__"]:
        return True
    if len(imported) == 1 or room_of(imported[1]) is None:
        return False  # the package itself, or a name it looks up: to be imported from where it lives
    return ORDER.index(room_of(imported[1])) <= ORDER.index(room_of(importing))


def room_of(name):
    if name in COMMANDS:
        return "commands"
    return name if name in ORDER else None


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_modules_above_it(module):
    path = MODULES[module]
    imports = imports_of(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")

    assert faults(module, imports) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vae_tf.config.base", "from vae_tf.runs.run_dir import RunDir"),
        ("vae_tf.config.base", "from vae_tf import plots"),
        ("vae_tf.config.base", "import vae_tf.train"),
        ("vae_tf.config.base", "def later():\n    from vae_tf.training import callbacks"),
        ("vae_tf.config.base", "if TYPE_CHECKING:\n    from vae_tf.model.vae import VAE"),
        ("vae_tf.config.base", "from .. import train"),
        ("vae_tf.config.base", "from ..train import main"),
        ("vae_tf.support.cli", "from vae_tf.registry import DATASETS"),
        ("vae_tf.report.html", "from vae_tf import evaluate"),
        ("vae_tf.train", "from vae_tf import build_vae"),
        ("vae_tf.train", "import vae_tf"),
        ("vae_tf.data.loading", "from ..model import build"),
        ("vae_tf.model.build", "def later():\n    import tensorflow as tf"),
        ("vae_tf.metrics.elbo", "import tensorflow as tf"),
        ("vae_tf.train", "from tensorflow.io import gfile"),
    ],
)
def test_the_check_sees_a_forbidden_import(module, source):
    assert len(faults(module, imports_of(source, module))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vae_tf.train", "from vae_tf import plots, registry"),
        ("vae_tf.model.build", "from vae_tf.model.vae import VAE\nfrom .prior import Prior"),
        ("vae_tf.backend.kernels", "import tensorflow as tf"),
        ("vae_tf.__main__", "from vae_tf import __version__"),
        ("vae_tf.config.base", "import os\nfrom pathlib import Path"),
    ],
)
def test_the_check_lets_an_allowed_import_pass(module, source):
    assert faults(module, imports_of(source, module)) == []


def loaded_after(statement):
    """Top-level names of `sys.modules` in a new process after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_after("import vae_tf")

    assert "vae_tf" in loaded
    assert not loaded & {"tensorflow", "keras", "numpy", "matplotlib", "sklearn", "pydantic"}


@pytest.mark.parametrize(
    "module",
    [
        *("vae_tf.train", "vae_tf.sample", "vae_tf.encode", "vae_tf.score", "vae_tf.evaluate", "vae_tf.compare"),
        *("vae_tf.fit_sampler", "vae_tf.completion"),
    ],
)
def test_importing_a_command_loads_no_tensorflow(module):
    loaded = loaded_after(f"import {module}")

    assert "vae_tf" in loaded
    assert not loaded & {"tensorflow", "keras", "sklearn", "matplotlib"}


def test_every_public_name_is_found_on_first_use():
    assert all(getattr(vae_tf, name).__name__ == name for name in vae_tf.__all__)


def test_dir_lists_the_public_names():
    assert set(vae_tf.__all__) <= set(dir(vae_tf))


def test_a_name_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'vae_tf' has no attribute 'no_such_name'"):
        _ = vae_tf.no_such_name


def test_no_public_function_is_named_like_a_submodule():
    submodules = {module.split(".")[1] for module in MODULES}

    assert not submodules & set(vae_tf.__all__)
