"""Which image files a folder or a list names, and in which order."""

import os
from pathlib import Path

import pytest

from vae_tf.data.sources.image_paths import find_images, read_list
from vae_tf.support.errors import InputError


def test_images_are_found_at_any_depth_in_order_and_other_files_left(tmp_path):
    names = ["b.jpg", "a.PNG", "sub/deep/c.webp", "sub/d.jpeg", "e.gif", "f.Bmp", "g.jfif", "h.JPE", "i.apng", "j.dib"]
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
        "data_dir must contain images (.jpg, .jpeg, .jpe, .jfif, .png, .apng, .webp, .bmp, .dib, .gif). "
        f"Received: {tmp_path} (no images found)"
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


@pytest.mark.parametrize("link", ["a", "z", "a/deeper"])
def test_a_linked_folder_is_listed_under_its_own_path(tmp_path, link):
    (tmp_path / "m" / "below").mkdir(parents=True)
    (tmp_path / "a").mkdir() if link == "a/deeper" else None
    for name in ("cat.png", "below/dog.png"):
        (tmp_path / "m" / name).touch()
    (tmp_path / link).symlink_to(tmp_path / "m")

    assert find_images(tmp_path) == [str(tmp_path / "m" / "below" / "dog.png"), str(tmp_path / "m" / "cat.png")]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_folder_that_is_linked_twice_is_listed_under_the_first_link(tmp_path, monkeypatch, reverse):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "cat.png").touch()
    (tmp_path / "data").mkdir()
    for name in ("b", "a"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere")
    walk = os.walk

    def walk_in_order(*arguments, **options):  # the order of the entries of a folder is arbitrary
        for parent, folders, names in walk(*arguments, **options):
            folders.sort(reverse=reverse)
            yield parent, folders, names

    monkeypatch.setattr(os, "walk", walk_in_order)

    assert find_images(tmp_path / "data") == [str(tmp_path / "data" / "a" / "cat.png")]


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "a.heic", "a.svg", "a.avif"])
def test_images_of_other_formats_are_found_so_that_they_can_be_reported(tmp_path, name):
    (tmp_path / name).touch()

    assert find_images(tmp_path) == [str(tmp_path / name)]


def test_a_folder_inside_that_can_not_be_listed_is_refused(tmp_path, monkeypatch):
    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", f"{top}/locked"))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(InputError, match=r"locked \(Permission denied\)"):
        find_images(tmp_path)
