"""The linter as a command: what it prints and how it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def azure_check(*arguments):
    words = [sys.executable, "-m", "vae_tf.azure_check", *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def test_nothing_found_is_silent_success(tmp_path):
    (tmp_path / "endpoint.yml").write_text("auth_mode: aad_token\n")
    ended = azure_check(tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_each_finding_is_a_line_with_file_line_and_fix(tmp_path):
    (tmp_path / "endpoint.yml").write_text("name: vae\nauth_mode: key\n")
    ended = azure_check(tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith(f"{tmp_path}/endpoint.yml:2: key-based authentication of an endpoint; remove it")
    assert ended.stdout.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["no such folder"], ["azure", "--strict"]])
def test_wrong_use_is_one_line_and_status_2(arguments):
    ended = azure_check(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
