"""Turns on oneDNN, a library of faster CPU kernels that is part of TensorFlow."""

import os
import platform
import sys

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"


def enable_onednn() -> None:
    """Makes TensorFlow use oneDNN on Linux x86-64, unless the user has set `TF_ENABLE_ONEDNN_OPTS`.

    By default, TensorFlow for Linux uses it only on CPUs with AVX512-VNNI, AVX512-BF16 or AMX; on CPUs with only AVX2,
    convolutions are almost twice as fast with it. TensorFlow for Windows always uses it, and TensorFlow for macOS does
    not include it. If TensorFlow has already been imported, this has no effect, so nothing is changed.
    """
    if (sys.platform, platform.machine()) == ("linux", "x86_64") and "tensorflow" not in sys.modules:
        os.environ.setdefault(ONEDNN_VARIABLE, "1")
