"""Which image files a folder or a list names, and in which order."""

import os
from pathlib import Path

import pytest

from vae_tf.data.sources.image_paths import find_images, read_list
from vae_tf.support.errors import InputError


def test_images_are_found_at_any_depth_in_order_and_other_files_left(tmp_path):
    names = ["b.jpg", "a.PNG", "sub/deep/c.webp", "sub/d.jpeg", "e.gif", "f.Bmp"]
    for name in [*names, "notes.txt", "sub/data.npz", "jpg"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = find_images(tmp_path)

    assert found == [str(path) for path in sorted(tmp_path / name for name in names)]


def test_the_order_is_the_same_on_a_system_that_ignores_case(tmp_path, monkeypatch):
    names = ["B.png", "a.png", "C/x.png", "a/y.png"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    monkeypatch.setattr(os.path, "normcase", str.lower)  # as on Windows

    assert read_list(tmp_path / "list.txt") == [
        str(tmp_path / name) for name in ("B.png", "C/x.png", "a/y.png", "a.png")
    ]


@pytest.mark.parametrize("hidden", [".cat.jpg", "sub/._cat.jpg", ".ipynb_checkpoints/cat-checkpoint.jpg"])
def test_hidden_files_are_left_out(tmp_path, hidden):
    for name in ["cat.jpg", hidden]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert find_images(tmp_path) == [str(tmp_path / "cat.jpg")]


def test_images_below_a_hidden_folder_that_was_named_are_found(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "cat.jpg").touch()

    assert find_images(tmp_path / ".cache") == [str(tmp_path / ".cache" / "cat.jpg")]


def test_a_list_gives_its_paths_sorted_and_each_once(tmp_path):
    names = [f"{number:02}.png" for number in range(20)]
    (tmp_path / "list.txt").write_text("\n".join([*reversed(names), "/there/cat.png", *names[:5]]))

    paths = sorted([Path("/there/cat.png"), *(tmp_path / name for name in names)])
    assert read_list(tmp_path / "list.txt") == [str(path) for path in paths]


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"must be a folder of images or .*\. Received: .*absent \(no such folder\)"):
        find_images(tmp_path / "absent")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "cat.png").touch()

    with pytest.raises(InputError, match="must be a folder of images"):
        find_images(tmp_path / "cat.png")


def test_folder_without_images_is_named_with_what_was_expected(tmp_path):
    (tmp_path / "notes.txt").touch()

    with pytest.raises(InputError) as caught:
        find_images(tmp_path)

    assert str(caught.value) == (
        f"data_dir must contain images (.jpg, .jpeg, .png, .webp, .bmp, .gif). Received: {tmp_path} (no images found)"
    )


def test_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    # The super-user may read everything, so the permission itself can't be tested everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(InputError, match=r"must be a readable folder\. Received: .* \(permission denied\)"):
        find_images(tmp_path)


def test_linked_folders_are_followed_and_circles_end(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "circle").symlink_to(tmp_path / "data")

    assert find_images(tmp_path / "data") == [str(tmp_path / "data" / "link" / "a.png")]


def test_a_folder_inside_that_can_not_be_listed_is_refused(tmp_path, monkeypatch):
    def walk(top, onerror, followlinks):
        onerror(PermissionError(13, "Permission denied", f"{top}/locked"))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(InputError, match=r"locked \(Permission denied\)"):
        find_images(tmp_path)
