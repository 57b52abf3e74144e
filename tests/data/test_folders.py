import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.config import DataConfig
from vae_tf.data.loading import load_splits
from vae_tf.data.sources import image_files
from vae_tf.support.errors import InputError

NO_IMAGE = "not a PNG, JPEG, WEBP, BMP, DIB or GIF image"


def config(**values):
    return DataConfig(dataset="folder", **values)


def splits_of(place, **values):
    return load_splits(config(data_dir=str(place), image_size=8, channels=1, **{"val_fraction": 0, **values}))


def error_of(place):
    with pytest.raises(InputError) as caught:
        splits_of(place)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def image_folder(folder, levels):
    """An image of one grey level for each of `levels`, named by it."""
    folder.mkdir(parents=True, exist_ok=True)
    for level in levels:
        Image.new("L", (10, 9), level).save(folder / f"{level:03}.png")
    return str(folder)


def levels(examples):
    return sorted(examples.read(np.arange(len(examples)))[:, 0, 0, 0].tolist())


def levels_by_label(examples):
    """The grey levels of the images under each label."""
    of_each = examples.read(np.arange(len(examples)))[:, 0, 0, 0]
    return {label: sorted(of_each[examples.labels == label].tolist()) for label in np.unique(examples.labels).tolist()}


# Splits of a folder


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_train_and_test_or_val_subfolders_are_the_splits(tmp_path, held_out):
    image_folder(tmp_path / "train" / "cats", range(10))
    image_folder(tmp_path / held_out, range(100, 105))

    splits = splits_of(tmp_path)

    assert levels(splits.train) == list(range(10))
    assert levels(splits.test) == list(range(100, 105))


def test_folder_without_those_is_split_80_to_20_the_same_for_every_seed(tmp_path):
    folder = image_folder(tmp_path / "cats", range(50))
    first, again, other = (splits_of(folder, seed=seed) for seed in (0, 0, 1))

    assert (first.spec.num_train, first.spec.num_test) == (40, 10)
    assert sorted(levels(first.train) + levels(first.test)) == list(range(50))
    assert levels(first.test) == levels(again.test) == levels(other.test)
    assert levels(first.test) != list(range(40, 50))


def test_a_train_folder_alone_is_no_split(tmp_path):
    image_folder(tmp_path / "train", range(10))

    assert splits_of(tmp_path).spec.num_test == 2


def test_folder_images_come_at_64x64x3_by_default_and_as_asked(tmp_path):
    folder = image_folder(tmp_path / "cats", range(10))

    assert load_splits(config(data_dir=folder)).spec.example_shape == (64, 64, 3)
    asked = load_splits(config(data_dir=folder, image_size="20x30", channels=1))
    assert asked.spec.example_shape == (20, 30, 1)
    assert asked.train.read(np.array([0])).shape == (1, 20, 30, 1)


def test_unreadable_images_are_left_out_of_the_splits(tmp_path, capsys):
    folder = image_folder(tmp_path / "cats", range(10))
    (tmp_path / "cats" / "broken.jpg").write_bytes(b"no image")

    splits = splits_of(folder)

    assert sorted(levels(splits.train) + levels(splits.test)) == list(range(10))
    assert capsys.readouterr().err.count("skipped 1 of 11 files") == 1


def test_folder_where_no_image_opens_is_refused_without_a_warning(tmp_path, capsys):
    for name in ("a.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"no image")

    message = error_of(tmp_path)

    assert message == (
        f"data_dir must contain readable images. Received: {tmp_path} (none of 2 files could be read; the first is "
        f"{tmp_path / 'a.jpg'} ({NO_IMAGE}))"
    )
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("make", [False, True], ids=["missing", "empty"])
def test_missing_or_empty_folder_is_named(tmp_path, make):
    folder = tmp_path / "cats"
    if make:
        folder.mkdir()

    assert f"Received: {folder} (" in error_of(folder)


def test_empty_test_subfolder_is_named(tmp_path):
    image_folder(tmp_path / "train", range(10))
    (tmp_path / "test").mkdir()

    assert f"Received: {tmp_path / 'test'} (no images found)" in error_of(tmp_path)


# Classes of a folder


def test_subfolders_are_the_classes_in_the_order_of_their_names(tmp_path):
    for name, first in (("zebra", 100), ("Ant", 150), ("cat", 0)):
        image_folder(tmp_path / name, range(first, first + 10))

    splits = splits_of(tmp_path)

    assert splits.spec.class_names == ("Ant", "cat", "zebra")
    assert splits.spec.num_classes == 3
    train, test = levels_by_label(splits.train), levels_by_label(splits.test)
    assert {label: sorted(train[label] + test[label]) for label in (0, 1, 2)} == {
        0: list(range(150, 160)),
        1: list(range(10)),
        2: list(range(100, 110)),
    }
    assert splits.train.labels.dtype == np.int64


def test_a_class_reaches_below_its_own_subfolders(tmp_path):
    image_folder(tmp_path / "cats" / "young" / "grey", range(5))
    image_folder(tmp_path / "dogs", range(100, 105))

    splits = splits_of(tmp_path)

    assert splits.spec.class_names == ("cats", "dogs")


def test_both_splits_hold_their_share_of_every_class(tmp_path):
    image_folder(tmp_path / "cats", range(80))
    image_folder(tmp_path / "dogs", range(100, 120))

    splits = splits_of(tmp_path, val_fraction=0.25)

    assert [np.bincount(part.labels).tolist() for part in (splits.train, splits.val, splits.test)] == [
        [48, 12],
        [16, 4],
        [16, 4],
    ]
    for part in (splits.train, splits.val, splits.test):
        assert all(level >= 100 for level in levels_by_label(part)[1])


def test_classes_of_train_and_test_subfolders_are_numbered_together(tmp_path):
    image_folder(tmp_path / "train" / "bees", range(5))
    image_folder(tmp_path / "train" / "dogs", range(100, 105))
    image_folder(tmp_path / "test" / "ants", range(200, 203))
    image_folder(tmp_path / "test" / "dogs", range(110, 113))

    splits = splits_of(tmp_path)

    assert splits.spec.class_names == ("ants", "bees", "dogs")
    assert splits.spec.num_classes == 3
    assert levels_by_label(splits.train) == {1: list(range(5)), 2: list(range(100, 105))}
    assert levels_by_label(splits.test) == {0: [200, 201, 202], 2: [110, 111, 112]}


@pytest.mark.parametrize(
    "folders",
    [["."], ["cats"], [".", "cats", "dogs"], ["train/cats", "train/dogs", "test"], ["train/cats", "test/cats"]],
    ids=["no subfolder", "one subfolder", "some beside them", "some in a split", "one class in both splits"],
)
def test_images_without_a_class_each_or_with_one_for_all_are_unlabelled(tmp_path, folders):
    for index, folder in enumerate(folders):
        image_folder(tmp_path / folder, range(20 * index, 20 * index + 5))

    splits = splits_of(tmp_path)

    assert splits.train.labels is None
    assert splits.test.labels is None
    assert splits.spec.num_classes is None
    assert splits.spec.class_names is None


def test_a_hidden_folder_is_no_class(tmp_path):
    for name in ("cats", "dogs", ".thumbnails"):
        image_folder(tmp_path / name, range(5))

    assert splits_of(tmp_path).spec.class_names == ("cats", "dogs")


def test_files_that_do_not_open_are_skipped_with_their_labels(tmp_path, capsys):
    image_folder(tmp_path / "cats", range(10))
    image_folder(tmp_path / "dogs", range(100, 110))
    (tmp_path / "ants").mkdir()
    for name in ("ants/a.png", "cats/0.png", "dogs/z.png", "0.png"):
        (tmp_path / name).write_bytes(b"no image")

    splits = splits_of(tmp_path)

    assert splits.spec.class_names == ("cats", "dogs")
    for part in (splits.train, splits.test):
        assert {label: {level >= 100 for level in of} for label, of in levels_by_label(part).items()} == {
            0: {False},
            1: {True},
        }
    assert "skipped 4 of 24 files" in capsys.readouterr().err


def test_images_of_other_formats_are_counted_and_named(tmp_path, capsys):
    folder = image_folder(tmp_path / "cats", range(10))
    Image.new("L", (10, 9)).save(tmp_path / "cats" / "scan.tif")
    (tmp_path / "cats" / "icon.svg").write_text("<svg/>")

    splits = splits_of(folder)

    assert (splits.spec.num_train, splits.spec.num_test) == (8, 2)
    named = ", ".join(f"{tmp_path / 'cats' / name} ({NO_IMAGE})" for name in ("icon.svg", "scan.tif"))
    assert capsys.readouterr().err == f"warning: skipped 2 of 12 files: {named}\n"


@pytest.mark.parametrize("extension", ["jfif", "jpe", "JPG", "apng", "dib"])
def test_images_with_other_names_of_a_format_are_read(tmp_path, extension):
    for level in range(0, 250, 25):
        Image.new("L", (10, 9), level).save(tmp_path / f"{level:03}.{extension}")

    splits = splits_of(tmp_path)

    np.testing.assert_allclose(sorted(levels(splits.train) + levels(splits.test)), range(0, 250, 25), atol=1)


# Lists


def list_of(path, *lines, encoding="utf-8"):
    path.write_text("\n".join(lines), encoding=encoding)
    return path


def names_in(folder):
    return [str(path) for path in sorted(Path(folder).iterdir())]


def test_a_list_names_images_by_absolute_path_or_from_its_own_folder(tmp_path, monkeypatch):
    there, elsewhere = (
        image_folder(tmp_path / "there", range(10)),
        image_folder(tmp_path / "other", range(100, 110)),
    )
    relative = [os.path.relpath(name, tmp_path) for name in names_in(there)]
    list_of(tmp_path / "list.txt", *relative, *names_in(elsewhere)[:5])
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")

    splits = splits_of("../list.txt")

    assert sorted(levels(splits.train) + levels(splits.test)) == [*range(10), *range(100, 105)]
    assert splits.spec.num_test == 3


@pytest.mark.parametrize(("encoding", "end"), [("utf-8", ""), ("utf-8-sig", ""), ("utf-8", "\r")])
def test_blank_lines_and_remarks_in_a_list_are_left_out(tmp_path, capsys, encoding, end):
    names = names_in(image_folder(tmp_path / "Bären", range(10)))
    path = list_of(
        tmp_path / "list.TXT", *(f"{line}{end}" for line in [*names, "", "  ", "# a.png"]), encoding=encoding
    )

    splits = splits_of(path)

    assert sorted(levels(splits.train) + levels(splits.test)) == list(range(10))
    assert capsys.readouterr().err == ""


def test_order_and_repetition_in_a_list_change_nothing(tmp_path):
    names = names_in(image_folder(tmp_path / "cats", range(20)))
    first = splits_of(list_of(tmp_path / "a.txt", *names))
    other = splits_of(list_of(tmp_path / "b.txt", *reversed(names), *names[:7]))

    assert levels(first.test) == levels(other.test)
    assert levels(first.train) == levels(other.train)


def test_missing_and_unreadable_files_of_a_list_are_counted_and_named(tmp_path, capsys):
    names = names_in(image_folder(tmp_path / "cats", range(10)))
    (tmp_path / "notes.md").write_text("no image")

    splits = splits_of(list_of(tmp_path / "list.txt", *names, "gone.png", "notes.md", "cats"))

    assert splits.spec.num_train + splits.spec.num_test == 10
    error = capsys.readouterr().err
    assert "skipped 3 of 13 files" in error
    assert all(str(tmp_path / name) in error for name in ("gone.png", "notes.md", "cats"))


def test_a_class_in_a_list_is_the_name_of_the_folder_that_holds_the_image(tmp_path):
    cats = image_folder(tmp_path / "monday" / "cats", range(5))
    more_cats = image_folder(tmp_path / "tuesday" / "cats", range(10, 15))
    dogs = image_folder(tmp_path / "tuesday" / "dogs", range(100, 110))

    splits = splits_of(list_of(tmp_path / "list.txt", *names_in(cats), *names_in(more_cats), *names_in(dogs)))

    assert splits.spec.class_names == ("cats", "dogs")
    train, test = levels_by_label(splits.train), levels_by_label(splits.test)
    assert sorted(train[0] + test[0]) == [*range(5), *range(10, 15)]
    assert sorted(train[1] + test[1]) == list(range(100, 110))


@pytest.mark.parametrize(
    "folders",
    [["."], ["cats"], [".", "cats", "dogs"], ["cats", "dogs", ".thumbnails"]],
    ids=["its own folder", "one folder", "some beside the list", "some in a hidden folder"],
)
def test_a_list_whose_images_have_no_class_each_or_one_for_all_is_unlabelled(tmp_path, monkeypatch, folders):
    names = []
    for index, folder in enumerate(folders):
        image_folder(tmp_path / folder, range(20 * index, 20 * index + 5))
        names += [str(path) for path in (tmp_path / folder).glob("*.png")]
    list_of(tmp_path / "list.txt", *names)
    monkeypatch.chdir(tmp_path)

    splits = splits_of("list.txt")

    assert splits.train.labels is None
    assert splits.spec.class_names is None
    assert splits.spec.num_train + splits.spec.num_test == 5 * len(folders)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "at least one image"),
        (b"\n# cats/a.png\n", "at least one image"),
        (b"cats/\xe4.png", "UTF-8"),
        ("cats/a.png".encode("utf-16"), "UTF-8"),
        (b"\0\0\1\2 a.png", "null bytes"),
        (b"gone.png\ngone_too.png", "none of 2 files could be read; the first is "),
    ],
    ids=["empty", "remarks alone", "Latin-1", "UTF-16", "binary", "nothing there"],
)
def test_a_list_that_can_not_be_used_is_named(tmp_path, content, fault):
    path = tmp_path / "list.txt"
    path.write_bytes(content)

    message = error_of(path)

    assert fault in message
    assert f"Received: {path} (" in message


def test_a_missing_list_is_named(tmp_path):
    path = tmp_path / "list.txt"

    assert error_of(path) == f"data_dir must be a readable list file. Received: {path} (No such file or directory)"


def test_a_folder_may_be_called_like_a_list(tmp_path):
    image_folder(tmp_path / "cats.txt", range(10))

    assert splits_of(tmp_path / "cats.txt").spec.num_train == 8


# Names


def test_names_of_any_bytes_are_read_and_shown_in_one_line(tmp_path, capsys):
    for folder in (b"a\nb\xff", b"cats"):
        image_folder(tmp_path / os.fsdecode(folder), range(0, 240, 24))
        (tmp_path / os.fsdecode(folder) / os.fsdecode(b"c\n\xfe.png")).touch()

    for cache in (None, str(tmp_path / "cache")):
        image_files._print_once.cache_clear()  # each run is a process of its own
        spec, train, *_ = splits_of(tmp_path, conditional=True, cache_dir=cache)

        assert spec.class_names == (r"a\nb\udcff", "cats")
        assert len(levels(train)) == 16
        warned = capsys.readouterr().err
        assert warned.count("\n") == 1
        assert r"cats/c\n\udcfe.png" in warned


def test_a_linked_file_that_leads_to_itself_is_skipped(tmp_path, capsys):
    image_folder(tmp_path, range(0, 240, 24))
    (tmp_path / "loop.png").symlink_to("loop.png")

    assert len(levels(splits_of(tmp_path).train)) == 8
    assert f"skipped 1 of 11 files: {tmp_path / 'loop.png'} (no such file)" in capsys.readouterr().err
