"""A Linux process in which vae_tf sees only the standard library of macOS or of Windows, and the files of Windows.

Other packages see the real standard library: they have versions of their own for each system.
"""

import ast
import builtins
import errno
import fcntl
import os
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType

import mypy

STUBS = Path(mypy.__file__).parent / "typeshed" / "stdlib"


class OtherSystem:
    """Stands for `sys` in the conditions of a stub file."""

    version_info = sys.version_info

    def __init__(self, platform):
        self.platform = platform


def names_in(body, system):
    for node in body:
        if isinstance(node, ast.If):
            holds = eval(ast.unparse(node.test), {"sys": system, "TYPE_CHECKING": True})
            yield from names_in(node.body if holds else node.orelse, system)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def names_on(platform, module):
    """Names that a module of the standard library has on a system."""
    path = STUBS.joinpath(*module.split("."))
    path = path / "__init__.pyi" if path.is_dir() else path.with_suffix(".pyi")
    if not path.exists():
        return frozenset()
    return frozenset(names_in(ast.parse(path.read_text(encoding="utf-8")).body, OtherSystem(platform)))


def missing_names(platform, module):
    """Names that a module of the standard library has on Linux but not on another system."""
    return names_on("linux", module) - names_on(platform, module)


class View(ModuleType):
    """A module of the standard library, without the names that another system lacks."""

    def __init__(self, module, platform):
        super().__init__(module.__name__)
        self._module, self._missing = module, missing_names(platform, module.__name__)
        if module is sys:
            self.platform = platform

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' on this system")
        return getattr(self._module, name)


def show_only(platform):
    """Lets the modules of vae_tf that are imported from now on import only what a system has."""
    real_import, views = builtins.__import__, {}

    def import_(name, globals=None, *others, **options):
        importer = (globals or {}).get("__name__", "")
        if importer.partition(".")[0] != "vae_tf" or name.partition(".")[0] not in sys.stdlib_module_names:
            return real_import(name, globals, *others, **options)
        if names_on("linux", name) and not names_on(platform, name):
            raise ModuleNotFoundError(f"No module named '{name}' on this system")
        module = real_import(name, globals, *others, **options)
        return views.setdefault(module.__name__, View(module, platform))

    builtins.__import__ = import_


def open_paths():
    """Paths of the files that this process has open or mapped into memory."""
    for link in Path("/proc/self/fd").iterdir():
        try:
            yield str(link.readlink())
        except FileNotFoundError:  # of the listing itself
            continue
    for line in Path("/proc/self/maps").read_text().splitlines():
        yield line.partition("/")[2] and "/" + line.partition("/")[2]


def check_closed(path):
    """Raises the error of Windows if a file, or one in a folder, is open."""
    real = os.path.realpath(path)
    for each in open_paths():
        # filelock has a lock file of its own for each system
        if (each == real or each.startswith(real + os.sep)) and not each.endswith(".lock"):
            raise PermissionError(errno.EACCES, f"the file is used by this process: {each}", str(path))


def guard_files(replace_attribute=setattr):
    """Lets the functions of `os` refuse what they refuse on Windows: to open folders and to move or delete open files.

    Args:
        replace_attribute: Replaces an attribute of a module; `monkeypatch.setattr` does so until the end of a test.
    """

    def guarded(function, num_paths):
        def call(*paths, **options):
            for path in paths[:num_paths]:
                check_closed(path)
            return function(*paths, **options)

        return call

    def open_file(path, *arguments, **options):
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, *arguments, **options)

    def flush(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real_flush(descriptor)

    real_open, real_flush = os.open, os.fsync
    # These have other versions on Windows: without functions relative to an open folder, and without nameless files.
    replace_attribute(shutil, "_use_fd_functions", False)
    replace_attribute(tempfile, "TemporaryFile", tempfile.NamedTemporaryFile)
    for name, num_paths in {"replace": 2, "rename": 2, "unlink": 1, "remove": 1, "rmdir": 1}.items():
        replace_attribute(os, name, guarded(getattr(os, name), num_paths))
    replace_attribute(os, "open", open_file)
    replace_attribute(os, "fsync", flush)


def simulate(platform):
    """Makes this process look like another system to the modules of vae_tf that are imported from now on."""
    loaded = [name for name in sys.modules if name.partition(".")[0] == "vae_tf"]
    assert not loaded, loaded
    show_only(platform)
    if platform == "win32":
        guard_files()
