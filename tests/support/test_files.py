import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vae_tf.support import files
from vae_tf.support.errors import InputError
from vae_tf.support.files import atomic_write, is_leftover, lock_folder, remove_partial_writes

ROOT = Path(__file__).parents[2]
DIES = """
import os, signal, sys
from pathlib import Path
from vae_tf.support.files import atomic_write, lock_folder
with lock_folder(Path(sys.argv[1])), atomic_write(Path(sys.argv[1], "file")) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    (tmp_path / "file").write_text("old")
    with atomic_write(tmp_path / "file") as partial:
        partial.write_text("new")
        assert (tmp_path / "file").read_text() == "old"

    assert (tmp_path / "file").read_text() == "new"
    assert names(tmp_path) == ["file"]


def test_a_folder_takes_its_place_with_all_its_files(tmp_path):
    with atomic_write(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "file").write_text("new")
        assert not (tmp_path / "folder").exists()

    assert (tmp_path / "folder" / "file").read_text() == "new"


def test_all_that_was_written_is_flushed_before_it_takes_its_place_and_the_place_after(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "_flush", lambda path: flushed.append((path.name, (tmp_path / "folder").exists())))
    with atomic_write(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "file").touch()

    assert flushed == [("file", False), ("folder", False), (tmp_path.name, True)]


def write(path, failure=None):
    with atomic_write(path) as partial:
        partial.write_text("new")
        if failure:
            raise failure


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "file", OSError(errno.ENOSPC, "No space left on device"))

    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def fail_to_flush(monkeypatch, number):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)


def test_a_drive_that_knows_no_flush_is_used_without(tmp_path, monkeypatch):
    fail_to_flush(monkeypatch, errno.EINVAL)
    write(tmp_path / "file")

    assert (tmp_path / "file").read_text() == "new"


def test_a_drive_that_fails_to_flush_keeps_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")
    fail_to_flush(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "file")

    assert (tmp_path / "file").read_text() == "old"


@pytest.fixture
def windows(monkeypatch):
    """Windows, on which a file is open for others until `waits` has as many entries as the test says."""
    waits = []
    monkeypatch.setattr(files, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(files.time, "sleep", waits.append)

    def open_for(attempts):
        replace = Path.replace

        def refuse(source, target):
            if len(waits) < attempts:
                raise PermissionError(errno.EACCES, "The process cannot access the file", str(source))
            return replace(source, target)

        monkeypatch.setattr(Path, "replace", refuse)
        return waits

    return open_for


def test_on_windows_a_file_that_is_open_for_a_moment_is_replaced_after_it(tmp_path, windows):
    waits = windows(3)
    write(tmp_path / "file")

    assert (tmp_path / "file").read_text() == "new"
    assert waits == [0.1] * 3


def test_on_windows_a_file_that_stays_open_keeps_its_content(tmp_path, windows):
    (tmp_path / "file").write_text("old")
    waits = windows(100)
    with pytest.raises(PermissionError):
        write(tmp_path / "file")

    assert (tmp_path / "file").read_text() == "old"
    assert sum(waits) == pytest.approx(1.9)


def test_elsewhere_a_refused_file_is_not_waited_for(tmp_path, windows, monkeypatch):
    waits = windows(1)
    monkeypatch.setattr(files.sys, "platform", "linux")
    with pytest.raises(PermissionError):
        write(tmp_path / "file")

    assert waits == []


def test_on_windows_files_are_open_for_writing_while_they_are_flushed_and_folders_are_not_opened(
    tmp_path, windows, monkeypatch
):
    windows(0)
    opened, open_file = [], os.open

    def record(path, mode, *rest, **options):
        opened.append((path, mode))
        return open_file(path, mode, *rest, **options)

    monkeypatch.setattr(os, "open", record)
    with atomic_write(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "file").write_text("new")

    assert [mode for path, mode in opened if path == partial / "file"] == [os.O_RDWR]
    assert {partial, tmp_path} & {path for path, _ in opened} == set()


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder whose process was killed while it held it and wrote to it."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run([sys.executable, "-c", DIES, folder], cwd=ROOT)
    assert done.returncode == -9
    return folder


def test_what_a_killed_process_left_is_known_and_removed(killed):
    assert names(killed) != [".lock"]
    assert all(is_leftover(entry) for entry in killed.iterdir())
    remove_partial_writes(killed)
    assert names(killed) == [".lock"]


def test_the_end_of_a_process_ends_its_lock(killed):
    with lock_folder(killed):
        pass


def test_a_folder_is_made_and_held_by_one_at_a_time(tmp_path):
    place, refused = tmp_path / "a" / "b", pytest.raises(InputError, match=r"b is locked by another process")
    with lock_folder(place), refused, lock_folder(place):
        pass
    with lock_folder(place):
        pass


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(errno.ENOTSUP, "not supported")])
def test_a_drive_without_locks_is_used_without(tmp_path, monkeypatch, error):
    def refuse(lock):
        raise error

    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    with lock_folder(tmp_path):
        pass


def test_a_name_that_the_drive_does_not_allow_is_no_missing_lock(tmp_path, monkeypatch):
    def refuse(path, **options):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"^run_dir must be a writable folder\. Received: .*a:b \(Invalid argument\)$"):
        lock_folder(tmp_path / "a:b").__enter__()


def test_a_folder_that_can_not_be_written_is_an_input_error(tmp_path, ordinary_user):
    tmp_path.chmod(0o555)
    with ordinary_user, pytest.raises(InputError, match="must be a writable folder"), lock_folder(tmp_path / "x"):
        pass
    tmp_path.chmod(0o755)
