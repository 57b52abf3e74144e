"""What all tests share: a quiet TensorFlow on one thread, commands in this process, and trained runs."""

import contextlib
import gc
import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from threadpoolctl import threadpool_limits

from vae_tf import plots, registry
from vae_tf.config.base import OneOf
from vae_tf.support import cli

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
# One thread for each process, as many processes as cores run at once; before any test module imports TensorFlow.
for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
threadpool_limits(1)

# These need Linux: they start several workers, read /proc and simulate other systems.
collect_ignore = [] if sys.platform == "linux" else ["distribute", "fuzz", "systems"]

SAVE_FIGURE = plots.save
STREAMS = (0, 1, 2)
OF_IMAGES = (
    *("--dataset", "npz", "--arch", "dense", "--hidden-sizes", 16, "--latent-dim", 3),
    *("--epochs", 2, "--batch-size", 32, "--learning-rate", 0.01),
)
OF_POINTS = ("--hidden-sizes", 16, "--epochs", 2)
# What sets the shared runs of images apart, by name; all but one are trained on images.npz.
IMAGE_RUNS = {
    "bn": (),
    "bn_seed1": ("--seed", 1),
    "bn_other_test": ("--data-dir", "other_test.npz"),
    "plain": ("--variant", "plain"),
    "gaussian": ("--variant", "plain", "--likelihood", "gaussian"),
    "binary": ("--binarize", "static", "--val-fraction", 0),
    "conditional": ("--conditional",),
    "restoring": ("--corrupt", "mask:0.5"),
    "both": ("--conditional", "--corrupt", "gaussian:0.3", "--likelihood", "learned_gaussian"),
    "mixture": ("--likelihood", "logistic_mixture", "--precision", "mixed_bfloat16", "--ema", 0.9),
}
POINT_RUNS = {
    "moons": ("--dataset", "moons", "--beta", 0.5),
    "blobs": ("--dataset", "blobs", "--conditional"),
}
EVALUATION = ("--nll-images", 20, "--nll-samples", 20, "--seed", 5)


class Ended(NamedTuple):
    """How a command ended: its exit status, and what it wrote."""

    status: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line of a refused command."""
        [line] = self.stderr.splitlines()
        assert self.status == cli.USAGE_ERROR
        return line


def run_command(name: str, *words: object, cwd: Path | None = None) -> Ended:
    """Runs `python -m vae_tf.NAME WORDS` in this process."""
    module = import_module(f"vae_tf.{name}")
    options = get_type_hints(module.main)["options"]
    stdout, stderr, status = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(cwd or Path.cwd()):
        patch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                cli.run(module.main, options, module.COMMAND)
            except SystemExit as ended:
                status = int(ended.code or 0)
    return Ended(status, stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="module", autouse=True)
def small_heap() -> None:
    """Hides from the garbage collector what the modules before left behind.

    Every Keras model leaves about 10,000 objects for good, and a collection that visits them all gets slow.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def command() -> Callable[..., Ended]:
    """`command("train", "--epochs", 1, cwd=folder)` runs a command in this process and returns how it ended."""
    return run_command


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all processes of this test session share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def made_once(shared_folder) -> Callable[[str, Callable[[Path], None]], Path]:
    """`made_once(name, make)` returns a folder that the first process that asks fills by `make(folder)`.

    Whoever changes what is in it takes a copy.
    """

    def folder_of(name: str, make: Callable[[Path], None]) -> Path:
        folder, done = shared_folder / name, shared_folder / f"{name}.done"
        with FileLock(shared_folder / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return folder_of


class SmallRun(NamedTuple):
    """A run that the tests share, and what the command that made or evaluated it printed."""

    path: Path
    stdout: str
    stderr: str


def _kept(folder: Path, ended: Ended) -> None:
    assert ended.status == 0, ended.stderr
    (folder / "ended.json").write_text(json.dumps([ended.stdout, ended.stderr]))


@pytest.fixture(scope="session")
def images(made_once) -> Path:
    """A folder with images.npz: 150 training and 90 test images of 8x10 grey pixels in three classes of brightness.

    In other_test.npz the same training images come with other test images.
    """

    def make(folder: Path) -> None:
        labels = np.arange(240) % 3
        pixels = (np.random.default_rng(0).integers(0, 76, (240, 8, 10)) + 90 * labels[:, None, None]).astype(np.uint8)
        train = {"x_train": pixels[:150], "y_train": labels[:150]}
        np.savez(folder / "images.npz", **train, x_test=pixels[150:], y_test=labels[150:])
        np.savez(folder / "other_test.npz", **train, x_test=255 - pixels[150:], y_test=labels[150:])

    return made_once("images", make)


@pytest.fixture(scope="session")
def of_images(images) -> tuple[object, ...]:
    """The options of the shared run "bn", for runs that differ from it."""
    return "--data-dir", images / "images.npz", *OF_IMAGES


@pytest.fixture(scope="session")
def trained(made_once, of_images, images) -> Callable[[str], SmallRun]:
    """`trained("bn")` returns a shared run of a second; whoever changes it takes a copy."""

    def make(kind: str, folder: Path) -> None:
        words = (*OF_POINTS, *POINT_RUNS[kind]) if kind in POINT_RUNS else (*of_images, *IMAGE_RUNS[kind])
        with _rendering():
            _kept(folder, run_command("train", *words, "--run-dir", folder / kind, cwd=images))

    def run(kind: str) -> SmallRun:
        folder = made_once(f"trained_{kind}", partial(make, kind))
        return SmallRun(folder / kind, *json.loads((folder / "ended.json").read_text()))

    return run


@pytest.fixture(scope="session")
def evaluation() -> tuple[object, ...]:
    """The options with which the shared runs are evaluated."""
    return EVALUATION


@pytest.fixture(scope="session")
def evaluated(made_once, trained) -> Callable[[str], SmallRun]:
    """`evaluated("bn")` returns a copy of `trained("bn")` that is evaluated; whoever changes it takes a copy."""

    def make(kind: str, folder: Path) -> None:
        from vae_tf.metrics import rows

        shutil.copytree(trained(kind).path, folder / kind)
        with pytest.MonkeyPatch.context() as patch:
            # The standard error of the distance between points takes most of the time.
            patch.setattr(rows, "bootstrap_error", partial(rows.bootstrap_error, num_resamples=5))
            with _rendering():
                _kept(folder, run_command("evaluate", "--run", folder / kind, *EVALUATION))

    def run(kind: str) -> SmallRun:
        folder = made_once(f"evaluated_{kind}", partial(make, kind))
        return SmallRun(folder / kind, *json.loads((folder / "ended.json").read_text()))

    return run


@pytest.fixture(scope="session", autouse=True)
def feature_cache(shared_folder) -> Iterator[Path]:
    """Feature spaces are trained once for all tests, not in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared_folder / "cache"))
        yield shared_folder / "cache"


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Restores what a command in this process may change: streams, signals, seeds, dtype policy."""
    streams = [os.dup(stream) for stream in STREAMS]
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    seeds = random.getstate(), np.random.get_state()  # noqa: NPY002  # scikit-learn draws from it
    yield
    for saved, stream in zip(streams, STREAMS, strict=True):
        os.dup2(saved, stream)
        os.close(saved)
    for number, handler in signals.items():
        signal.signal(number, handler)
    random.setstate(seeds[0])
    np.random.set_state(seeds[1])  # noqa: NPY002  # as above
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(scope="session", autouse=True)
def figures_of_one_pixel() -> Iterator[None]:
    """Figures are drawn but not rendered, which takes a quarter of the time of a small run; see `rendered_figures`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_tf.plots.save", lambda figure, file: Image.new("RGB", (1, 1)).save(file, "PNG"))
        yield


@contextlib.contextmanager
def _rendering() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vae_tf.plots.save", SAVE_FIGURE)
        yield


@pytest.fixture(scope="module")
def rendered_figures() -> Iterator[None]:
    """Renders figures as the product does, for tests that look at them."""
    with _rendering():
        yield


@contextlib.contextmanager
def _ordinary_user() -> Iterator[None]:
    """Root may enter every folder, so it becomes somebody else meanwhile."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def ordinary_user() -> contextlib.AbstractContextManager[None]:
    """`with ordinary_user:` runs its block without root's rights."""
    if sys.platform == "win32":
        pytest.skip("Windows has no root")
    return _ordinary_user()


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    """`register(kind, name, target, options)` registers a part until the end of the test."""
    known, options = {kind: dict(parts) for kind, parts in registry.PARTS.items()}, dict(registry.OPTIONS)
    yield registry.register
    for now, before in ((registry.OPTIONS, options), *((registry.PARTS[kind], known[kind]) for kind in known)):
        now.clear()
        now.update(before)


@pytest.fixture
def other_value() -> Callable[[Any], Any]:
    """`other_value(field)` returns a value of an option that is not its default."""

    def changed(field: Any) -> Any:
        default = field.default
        if isinstance(default, str):
            known = next(each.known for each in field.metadata if isinstance(each, OneOf))
            return next(name for name in known if name != default)
        return not default if isinstance(default, bool) else default + default or 1

    return changed


@pytest.fixture
def stl10(tmp_path: Path) -> Path:
    """A folder with the files of STL-10, small: images of noise whose first byte is their number."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, count, first in (("train", 40, 0), ("test", 20, 100), ("unlabeled", 60, 150)):
        images = generator.integers(0, 256, (count, 3 * 96 * 96), np.uint8)
        images[:, 0] = np.arange(first, first + count)
        (folder / f"{part}_X.bin").write_bytes(images.tobytes())
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes(bytes(1 + number % 10 for number in range(count)))
    folds = (" ".join(str(4 * row + fold % 4) for row in range(10)) for fold in range(10))
    (folder / "fold_indices.txt").write_text("\n".join(folds))
    return folder
