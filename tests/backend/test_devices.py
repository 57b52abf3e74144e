"""Where the computation runs; the GPUs here are pretended, so that every machine tests every case."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.backend import devices
from vae_tf.backend.devices import convert_runtime_errors, limit_threads, require_gpus, use_device
from vae_tf.config import RunConfig
from vae_tf.support.errors import InputError
from vae_tf.support.onednn import ONEDNN_VARIABLE


@pytest.fixture
def asked(monkeypatch):
    """What TensorFlow is asked for, instead of doing it."""
    calls = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: calls.append((devices, kind)))
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append("deterministic"))
    monkeypatch.setattr(
        tf.config.experimental, "set_memory_growth", lambda gpu, enable: calls.append((gpu, "grows", enable))
    )
    return calls


@pytest.fixture
def pretend_gpus(monkeypatch):
    def pretend(*gpus):
        for question in ("list_physical_devices", "get_visible_devices"):
            monkeypatch.setattr(tf.config, question, lambda kind=None: list(gpus) if kind == "GPU" else [])

    return pretend


def test_gpu_without_a_gpu_is_an_input_error(asked, pretend_gpus):
    pretend_gpus()
    with pytest.raises(InputError, match=r"^device=gpu needs a GPU") as raised:
        use_device("gpu")
    assert "--device cpu" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert asked == []


LINUX = (
    "run pip install '.[cuda]' in the folder that contains vae_tf's pyproject.toml, "
    "and check the driver with nvidia-smi"
)
MACOS = "TensorFlow supports no GPU on macOS, so train on Linux"
WINDOWS = "TensorFlow supports GPUs on Windows only in WSL2, so install vae_tf there with pip install '.[cuda]'"


@pytest.fixture
def machine(monkeypatch):
    """`machine(platform, *names)` pretends a system with these device files and commands."""

    def pretend(platform, *names):
        monkeypatch.setattr(devices, "sys", SimpleNamespace(platform=platform, stderr=sys.stderr))
        monkeypatch.setattr(devices, "Path", lambda path: SimpleNamespace(exists=lambda: path in names))
        monkeypatch.setattr(devices.shutil, "which", lambda name: name if name in names else None)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices._warn_about_unused_gpu.cache_clear()
    yield pretend
    devices._warn_about_unused_gpu.cache_clear()


@pytest.mark.parametrize(("platform", "remedy"), [("linux", LINUX), ("darwin", MACOS), ("win32", WINDOWS)])
def test_a_missing_gpu_names_the_remedy_of_the_system(machine, pretend_gpus, platform, remedy):
    machine(platform)
    pretend_gpus()
    for demand, rest in ((lambda: use_device("gpu"), "use --device cpu"), (require_gpus, "omit --require-gpu")):
        with pytest.raises(InputError, match=r"needs a GPU, and TensorFlow does not see one; ") as raised:
            demand()
        assert str(raised.value).endswith(f"; {remedy}, or {rest}")


@pytest.mark.parametrize(
    ("platform", "names", "remedy"),
    [
        ("linux", ["/dev/nvidiactl"], LINUX),
        ("linux", ["/dev/dxg", "nvidia-smi"], LINUX),  # WSL2
        ("win32", ["nvidia-smi"], WINDOWS),
    ],
)
def test_a_gpu_that_tensorflow_does_not_see_is_named_once_with_the_remedy(
    machine, pretend_gpus, capsys, platform, names, remedy
):
    machine(platform, *names)
    pretend_gpus()
    assert [use_device("auto"), use_device("auto")] == ["CPU", "CPU"]

    assert capsys.readouterr().err == (
        "warning: this machine has an NVIDIA GPU, but TensorFlow does not see it, so the CPU is used; "
        f"{remedy}, or use --device cpu\n"
    )


@pytest.mark.parametrize(
    ("platform", "names", "device", "gpus"),
    [
        ("linux", [], "auto", []),
        ("linux", ["nvidia-smi"], "auto", []),  # the command without a device
        ("linux", ["/dev/dxg"], "auto", []),  # a GPU of another vendor in WSL2
        ("darwin", [], "auto", []),
        ("win32", [], "auto", []),
        ("linux", ["/dev/nvidiactl"], "cpu", []),
        ("linux", ["/dev/nvidiactl"], "auto", ["GPU:0"]),
    ],
)
def test_nothing_is_said_where_no_gpu_is_left_unused(
    machine, asked, pretend_gpus, capsys, platform, names, device, gpus
):
    machine(platform, *names)
    pretend_gpus(*gpus)
    use_device(device)

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_gpu_that_the_user_hides_is_not_named(machine, pretend_gpus, capsys, monkeypatch, value):
    machine("linux", "/dev/nvidiactl")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    pretend_gpus()
    use_device("auto")

    assert capsys.readouterr().err == ""


def test_cpu_hides_the_gpus(asked, pretend_gpus):
    pretend_gpus("GPU:0")
    use_device("cpu")
    assert asked == [([], "GPU")]


def test_cpu_where_no_gpu_is_visible_changes_nothing(asked, pretend_gpus):
    pretend_gpus()
    use_device("cpu")
    assert asked == []


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_gpus_take_memory_as_they_need_it_and_compute_deterministically(asked, pretend_gpus, device):
    pretend_gpus("GPU:0", "GPU:1")
    use_device(device)
    assert asked == [("GPU:0", "grows", True), ("GPU:1", "grows", True), "deterministic"]


def test_a_gpu_in_use_keeps_its_memory(asked, monkeypatch, pretend_gpus):
    def refuse(gpu, enable):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    pretend_gpus("GPU:0")
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    use_device("gpu")
    assert asked == ["deterministic"]


def test_auto_without_a_gpu_changes_nothing(asked, pretend_gpus):
    pretend_gpus()
    use_device("auto")
    assert asked == []


def test_cpu_after_a_gpu_is_in_use_is_an_input_error(monkeypatch, pretend_gpus):
    def refuse(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    pretend_gpus("GPU:0")
    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)
    with pytest.raises(InputError, match="device=cpu must be set before"):
        use_device("cpu")


def test_required_gpus_are_named(monkeypatch, pretend_gpus):
    names = {"GPU:0": "NVIDIA T4", "GPU:1": "NVIDIA A100"}
    pretend_gpus(*names)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": names[gpu]})
    assert require_gpus() == ["NVIDIA T4", "NVIDIA A100"]


def test_required_gpu_that_is_missing_is_an_input_error(pretend_gpus):
    pretend_gpus()
    with pytest.raises(InputError, match=r"^require_gpu needs a GPU, and TensorFlow does not see one"):
        require_gpus()


def test_too_little_memory_is_an_error_of_one_line():
    with pytest.raises(InputError, match="must fit in memory"), convert_runtime_errors():
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


def test_an_input_error_inside_the_pipeline_comes_out_as_itself():
    def fail():
        raise InputError("a.png is gone")

    dataset = tf.data.Dataset.range(1).map(lambda _: tf.numpy_function(fail, [], tf.int64))
    with pytest.raises(InputError, match=r"^a\.png is gone$"), convert_runtime_errors():
        list(dataset)


def test_other_errors_of_tensorflow_stay_as_they_are():
    with pytest.raises(tf.errors.InternalError), convert_runtime_errors():
        raise tf.errors.InternalError(None, None, "a bug")


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        ({"arch": "dense", "hidden_sizes": (200, 200), "latent_dim": 50, "batch_size": 100}, [1]),
        ({"arch": "dense", "hidden_sizes": (1024, 1024), "latent_dim": 50, "batch_size": 100}, []),
        ({"arch": "dense", "hidden_sizes": (200, 200), "latent_dim": 50, "batch_size": 1000}, []),
        ({"arch": "conv"}, []),
    ],
    ids=["small", "wide", "large batch", "conv"],
)
def test_operations_of_a_small_dense_net_have_one_thread_each(monkeypatch, options, threads):
    asked = []
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", asked.append)
    limit_threads(RunConfig(**options), (28, 28, 1))
    assert asked == threads


ON_LINUX = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="oneDNN can be turned off on Linux x86-64 alone"
)


@ON_LINUX
def test_onednn_is_used_as_the_environment_says():
    assert devices.uses_onednn() == (os.environ[ONEDNN_VARIABLE] == "1")


@ON_LINUX
@pytest.mark.slow
@pytest.mark.parametrize("setting", ["0", "1"])
def test_onednn_is_used_in_a_new_process_if_it_is_turned_on(setting):
    code = "import vae_tf.backend.devices as devices; print(devices.uses_onednn())"
    environment = {**os.environ, ONEDNN_VARIABLE: setting, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.stdout == f"{setting == '1'}\n"


@pytest.mark.parametrize(
    ("precision", "device", "instructions", "is_slow"),
    [
        ("mixed_bfloat16", "CPU", ["X86_V3"], True),
        ("mixed_bfloat16", "CPU", ["SSE3", "AVX2"], True),
        ("mixed_bfloat16", "CPU", ["X86_V3", "X86_V4"], False),
        ("mixed_bfloat16", "CPU", ["AVX2", "AVX512_SKX"], False),
        ("mixed_bfloat16", "1 GPU", ["X86_V3"], False),
        ("float32", "CPU", ["X86_V3"], False),
    ],
)
def test_bfloat16_on_a_cpu_without_kernels_for_it_is_warned_about(
    monkeypatch, capsys, precision, device, instructions, is_slow
):
    monkeypatch.setattr(np, "show_config", lambda mode: {"SIMD Extensions": {"found": instructions}})
    devices.warn_if_bfloat16_is_slow(precision, device)
    assert ("mixed_bfloat16 is slower than float32" in capsys.readouterr().err) == is_slow
