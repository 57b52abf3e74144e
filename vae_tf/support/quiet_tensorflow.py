"""Imports TensorFlow without the log lines that it usually prints."""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()


def load_tensorflow_once() -> None:
    """Calls `load_tensorflow` if TensorFlow is not imported yet; any thread may call it."""
    with _lock:  # two threads that captured stderr at the same time would restore it in the wrong order
        if "tensorflow" not in sys.modules:
            load_tensorflow()


def load_tensorflow() -> None:
    """Imports TensorFlow and initializes its devices without printing the usual log lines.

    TensorFlow's C++ code prints some of them before any log level applies, so stderr itself is captured during the
    import. If the import fails, the captured output is printed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with _capture_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")


@contextmanager
def _capture_stderr() -> Iterator[None]:
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except Exception:
            captured.seek(0)
            os.write(stderr, captured.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
