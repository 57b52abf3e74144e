"""oneDNN is on wherever TensorFlow for Linux x86-64 starts after this package, unless the user has decided."""

import os
import platform
import subprocess
import sys

import pytest

from vae_tf.support.onednn import ONEDNN_VARIABLE, enable_onednn


@pytest.fixture
def before_tensorflow(monkeypatch):
    """A process on Linux x86-64 that has not imported TensorFlow, and whose user has not set the variable."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != "tensorflow"})
    monkeypatch.setenv(ONEDNN_VARIABLE, "")
    monkeypatch.delenv(ONEDNN_VARIABLE)


def test_it_is_turned_on(before_tensorflow):
    enable_onednn()
    assert os.environ[ONEDNN_VARIABLE] == "1"


def test_the_users_setting_is_kept(before_tensorflow, monkeypatch):
    monkeypatch.setenv(ONEDNN_VARIABLE, "0")
    enable_onednn()
    assert os.environ[ONEDNN_VARIABLE] == "0"


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "aarch64")])
def test_other_systems_are_left_alone(before_tensorflow, monkeypatch, system, machine):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    enable_onednn()
    assert ONEDNN_VARIABLE not in os.environ


def test_nothing_is_changed_after_tensorflow_was_imported(before_tensorflow, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    enable_onednn()
    assert ONEDNN_VARIABLE not in os.environ


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="oneDNN is turned on only on Linux x86-64"
)
def test_importing_the_package_turns_it_on():
    environment = {name: value for name, value in os.environ.items() if name != ONEDNN_VARIABLE}
    code = f"import vae_tf, os; print(os.environ['{ONEDNN_VARIABLE}'])"
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("1\n", "")
