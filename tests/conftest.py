"""What all tests share: a quiet TensorFlow, set before any test module imports it."""

import contextlib
import os
from collections.abc import Iterator

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
