import errno
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from vae_tf.support.errors import InputError
from vae_tf.support.files import PARTIAL
from vae_tf.training.checkpoint import store as module
from vae_tf.training.checkpoint.store import CHECKSUMS, PROGRESS, CheckpointStore

FILES = (CHECKSUMS, PROGRESS, "variables.index", "variables.data-00000-of-00001")
ARRAYS = {
    "model-0000": np.random.default_rng(0).random((3, 5), np.float32),
    "model-0001": np.float32(2.5),
    "noise-0000": np.array([0, 2**32 - 1], np.uint32),
    "optimizer-0000": np.array(7, np.int32),
    "skipped-0000": np.array([1, 2, 3], np.int32),
    "empty": np.zeros((0, 2), np.float32),
}


def arrays_of(step):
    return {**ARRAYS, "optimizer-0000": np.array(step, np.int32)}


def filled(path: Path, *steps, keep=2) -> CheckpointStore:
    store = CheckpointStore(path / "checkpoints", keep)
    for step in steps:
        store.write(step, arrays_of(step), {"epoch": step / 10})
    return store


def steps_in(store):
    return sorted(int(path.name.partition("_")[2]) for path in store.path.iterdir())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder with the checkpoints of steps 3 and 6, to be copied."""
    folder = tmp_path_factory.mktemp("two")
    filled(folder, 3, 6)
    return folder


@pytest.fixture
def store(two, tmp_path):
    shutil.copytree(two, tmp_path, dirs_exist_ok=True)
    return CheckpointStore(tmp_path / "checkpoints")


def newest_file(store, name):
    return store.path / "step_0000000006" / name


def test_arrays_come_back_with_their_types_and_shapes(store):
    arrays = store.newest().arrays()

    assert arrays.keys() == ARRAYS.keys()
    for name, value in arrays_of(6).items():
        assert (arrays[name].dtype, arrays[name].shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(arrays[name], value)


def test_step_and_progress_come_back(store):
    checkpoint = store.newest()

    assert (checkpoint.step, checkpoint.progress["epoch"]) == (6, 0.6)
    assert checkpoint.path == store.path / "step_0000000006"


def test_a_checkpoint_is_its_four_files(store):
    assert {path.name for path in newest_file(store, "").iterdir()} == set(FILES)


def test_there_is_no_newest_where_nothing_was_written(tmp_path):
    assert CheckpointStore(tmp_path / "checkpoints").newest() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_ones_are_kept(tmp_path, keep):
    assert steps_in(filled(tmp_path, 2, 5, 9, 11, keep=keep)) == [2, 5, 9, 11][-keep:]


def test_a_step_that_is_written_again_is_the_latest(store):
    store.write(6, {"model-0000": np.zeros(2, np.float32)}, {})

    assert steps_in(store) == [3, 6]
    np.testing.assert_array_equal(store.newest().arrays()["model-0000"], [0, 0])


def test_steps_that_are_still_to_come_are_removed(store):
    store.write(4, arrays_of(4), {})

    assert steps_in(store) == [3, 4]
    assert store.newest().step == 4


def test_the_step_and_not_the_clock_says_which_is_the_newest(store):
    os.utime(store.path / "step_0000000003", (2e9, 2e9))
    os.utime(store.path / "step_0000000006", (1e9, 1e9))

    assert store.newest().step == 6


def test_others_may_read_checkpoints_as_usual(tmp_path):
    before = os.umask(0o022)
    try:
        store = filled(tmp_path, 1)
    finally:
        os.umask(before)

    folder = store.path / "step_0000000001"
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(FILES, 0o644)
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_sha256sum_accepts_the_checksums(store):
    ended = subprocess.run(
        ["sha256sum", "--check", "--strict", CHECKSUMS], cwd=newest_file(store, ""), capture_output=True, text=True
    )

    assert ended.returncode == 0
    assert ended.stdout.count(": OK\n") == 3


# Damage


def cut(path, keep):
    os.truncate(path, keep(path.stat().st_size))


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 1 << place % 8
    path.write_bytes(content)


DAMAGES = {
    "cut-to-0": lambda path: cut(path, lambda size: 0),
    "cut-to-1": lambda path: cut(path, lambda size: 1),
    "cut-to-half": lambda path: cut(path, lambda size: size // 2),
    "cut-by-1": lambda path: cut(path, lambda size: size - 1),
    "deleted": Path.unlink,
    "first-bit": lambda path: flip(path, 0),
    "last-bit": lambda path: flip(path, -1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "a-folder": lambda path: (path.unlink(), path.mkdir()),
}


def check_the_one_before_is_used(store, capsys):
    assert store.newest().step == 3
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: checkpoint {store.path / 'step_0000000006'} is damaged (")
    assert line.endswith("; using the previous one")
    return line


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(store, capsys, name, damage):
    DAMAGES[damage](newest_file(store, name))

    check_the_one_before_is_used(store, capsys)


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_found_wherever_it_is(store, capsys, seed):
    generator = np.random.default_rng(seed)
    flip(newest_file(store, generator.choice(FILES)), int(generator.integers(10**6)))

    check_the_one_before_is_used(store, capsys)


@pytest.mark.parametrize("lines", [1, 2])
def test_checksums_cut_off_after_a_line_are_found(store, capsys, lines):
    path = newest_file(store, CHECKSUMS)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))

    assert "files are missing or were added" in check_the_one_before_is_used(store, capsys)


def test_a_file_too_many_is_found(store, capsys):
    newest_file(store, "variables.data-00001-of-00002").touch()

    check_the_one_before_is_used(store, capsys)


def test_the_warning_says_which_file_is_damaged(store, capsys):
    flip(newest_file(store, "variables.index"), 5)

    assert "(variables.index is truncated or changed)" in check_the_one_before_is_used(store, capsys)


def test_where_all_are_damaged_all_are_named(store):
    for step in (3, 6):
        (store.path / f"step_{step:010}" / PROGRESS).unlink()
    with pytest.raises(InputError, match=r"^A run needs a valid checkpoint.*step_0000000006 .*step_0000000003 "):
        store.newest()


def test_an_undamaged_checkpoint_is_taken_without_a_word(store, capsys):
    store.newest()

    assert capsys.readouterr() == ("", "")


def test_a_damaged_checkpoint_gives_way_as_its_step_is_done_again(store, capsys):
    flip(newest_file(store, PROGRESS), 3)
    store.write(6, arrays_of(6), {})

    assert store.newest().step == 6
    assert capsys.readouterr().err == ""


def test_what_a_killed_process_left_is_no_checkpoint_and_is_cleared(store):
    left = store.path / f"{PARTIAL}x" / "step_0000000009"
    shutil.copytree(store.path / "step_0000000006", left)
    assert store.newest().step == 6
    store.clear()

    assert list(store.path.iterdir()) == []
    assert store.newest() is None


def test_clearing_keeps_what_is_no_checkpoint(store):
    (store.path / "notes.txt").touch()
    (store.path / "step_by_step.txt").touch()
    store.clear()

    assert {path.name for path in store.path.iterdir()} == {"notes.txt", "step_by_step.txt"}


def test_a_checkpoint_of_another_version_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module, "FORMAT_VERSION", 2)
        store = filled(tmp_path, 3)
    with pytest.raises(
        InputError, match=r"^The checkpoint was written by another version of vae_tf\. Received: .*step_0000000003"
    ):
        store.newest()


# No room


def no_room(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def check_nothing_is_harmed(store, tmp_path):
    assert steps_in(store) == [3, 6]
    assert store.newest().step == 6
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize("place", ["os.fsync", "shutil.copyfile", "pathlib.Path.write_bytes", "pathlib.Path.replace"])
def test_where_there_is_no_room_nothing_is_harmed_and_nothing_left(store, tmp_path, monkeypatch, place):
    with monkeypatch.context() as patched:
        patched.setattr(place, no_room)
        with pytest.raises(OSError, match="No space left on device"):
            store.write(9, arrays_of(9), {})

    check_nothing_is_harmed(store, tmp_path)
    store.write(9, arrays_of(9), {})
    assert store.newest().step == 9


def test_no_room_for_temporary_files_is_an_error_of_the_system(store, tmp_path, monkeypatch):
    """TensorFlow has one of its own for it, the one that it has for too little memory."""

    def write(prefix, **others):
        raise tf.errors.ResourceExhaustedError(None, None, f"{prefix}_temp/part; No space left on device")

    monkeypatch.setattr(tf.raw_ops, "SaveV2", write)
    with pytest.raises(OSError, match=r"_temp/part; No space left on device$"):
        store.write(9, arrays_of(9), {})

    check_nothing_is_harmed(store, tmp_path)
