"""What all tests share: a quiet TensorFlow, set before any test module imports it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"


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
    return _ordinary_user()


@pytest.fixture
def stl10(tmp_path: Path) -> Path:
    """A folder with the files of STL-10, small: pictures of noise whose first byte is their number."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for part, count, first in (("train", 40, 0), ("test", 20, 100), ("unlabeled", 60, 150)):
        pictures = generator.integers(0, 256, (count, 3 * 96 * 96), np.uint8)
        pictures[:, 0] = np.arange(first, first + count)
        (folder / f"{part}_X.bin").write_bytes(pictures.tobytes())
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes(bytes(1 + number % 10 for number in range(count)))
    folds = (" ".join(str(4 * row + fold % 4) for row in range(10)) for fold in range(10))
    (folder / "fold_indices.txt").write_text("\n".join(folds))
    return folder
