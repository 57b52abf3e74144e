import gc
import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.data.sources import image_files
from vae_tf.data.sources.image_files import (
    SkippedFile,
    fingerprint,
    map_in_threads,
    open_images,
    read_image,
    warn_about_skipped,
)
from vae_tf.support.errors import InputError

SHAPE = (6, 5, 3)
NO_IMAGE = "not a PNG, JPEG, WEBP, BMP, DIB or GIF image"


def noise(path, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def damaged_in_the_middle(path):
    """A JPEG whose header and end are intact, but not what lies between them."""
    content = bytearray(noise(path, quality=95).read_bytes())
    middle = (content.index(b"\xff\xda") + len(content)) // 2  # of the scan
    content[middle : middle + 20] = b"\xff\xc0" * 10  # frame headers where there may be none
    path.write_bytes(content)
    return path


@pytest.fixture
def paths(tmp_path):
    """Three images, and among them a file that is none."""
    names = [noise(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.jpg", "c.jpg", "d.png"))]
    names[1].write_bytes(b"no image")
    return names


@pytest.fixture(params=["temporary", "cached"])
def cache_dir(request, tmp_path):
    """No folder for caches, and one that does not exist yet."""
    return tmp_path / "new" / "cache" if request.param == "cached" else None


@pytest.fixture
def decoded_paths(monkeypatch):
    """The files decoded so far, by several threads."""
    seen = []
    monkeypatch.setattr(
        image_files, "read_image", lambda path, *args: seen.append(Path(path)) or read_image(path, *args)
    )
    return seen


def readable(paths, cache_dir=None):
    return [Path(name) for name in open_images(paths, SHAPE, cache_dir=cache_dir).names]


# The images of a collection


def test_images_are_those_of_the_readable_files(paths, cache_dir):
    examples = open_images(paths, SHAPE, cache_dir=cache_dir)

    assert examples.names == [str(paths[index]) for index in (0, 2, 3)]
    assert examples.skipped == [SkippedFile(str(paths[1]), NO_IMAGE)]
    expected = [read_image(paths[index], SHAPE) for index in (3, 0, 3)]
    np.testing.assert_array_equal(examples.read(np.array([2, 0, 2])), expected)
    assert examples.read(np.array([0])).dtype == np.uint8


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"changed")], ids=["removed", "changed"])
def test_a_file_that_is_removed_or_changed_later_changes_nothing(paths, cache_dir, change):
    examples = open_images(paths, SHAPE, cache_dir=cache_dir)
    before = examples.read(np.arange(3))

    for path in paths:
        change(path)

    np.testing.assert_array_equal(examples.read(np.arange(3)), before)


def test_subset_has_the_images_and_labels_asked_for_in_their_order(paths, cache_dir):
    examples = open_images(paths, SHAPE, cache_dir=cache_dir).with_labels(np.array([5, 6, 7]))

    part = examples.subset(np.array([2, 0])).subset(np.array([1, 0]))

    assert (part.names, part.labels.tolist()) == ([str(paths[0]), str(paths[3])], [5, 7])
    assert (len(part), part.example_shape) == (2, SHAPE)
    np.testing.assert_array_equal(part.read(np.arange(2)), examples.read(np.array([0, 2])))


# Files that can't be read


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "bmp", "gif"])
def test_a_truncated_image_is_skipped(tmp_path, cache_dir, extension):
    good, bad = noise(tmp_path / f"good.{extension}"), noise(tmp_path / f"bad.{extension}")
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])

    assert readable([bad, good], cache_dir) == [good]


def test_a_jpeg_that_is_damaged_in_the_middle_is_skipped_with_its_reason(tmp_path, cache_dir):
    good, bad = noise(tmp_path / "good.jpg"), damaged_in_the_middle(tmp_path / "bad.jpg")

    examples = open_images([bad, good], SHAPE, cache_dir=cache_dir)

    assert examples.names == [str(good)]
    assert examples.skipped == [SkippedFile(str(bad), "broken data stream when reading image file")]


def test_what_is_no_file_is_skipped_with_its_reason_and_not_waited_for(tmp_path, cache_dir):
    good = noise(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    bad = [tmp_path / f"{name}.png" for name in ("pipe", "folder", "loop", "missing")]

    examples = open_images([*bad, good], SHAPE, cache_dir=cache_dir)

    assert [reason for _, reason in examples.skipped] == ["not a file", "not a file", "no such file", "no such file"]
    assert examples.names == [str(good)]


def test_the_warning_counts_the_skipped_files_and_gives_the_reasons_of_the_first_three(capsys):
    warn_about_skipped([SkippedFile(f"{number}\n.jpg", "because") for number in range(5)], 8)

    named = ", ".join(rf"{number}\n.jpg (because)" for number in range(3))
    assert capsys.readouterr().err == f"warning: skipped 5 of 8 files: {named} and 2 more\n"


def test_a_warning_is_printed_once(capsys):
    for _ in range(2):
        warn_about_skipped([SkippedFile("once.jpg", "because")], 8)

    assert capsys.readouterr().err == "warning: skipped 1 of 8 files: once.jpg (because)\n"


def test_no_skipped_file_is_no_warning(capsys):
    warn_about_skipped([], 8)

    assert capsys.readouterr().err == ""


# The decoded images in a temporary folder


def test_unchanged_files_are_decoded_once_in_a_process_and_changed_ones_again(paths, decoded_paths):
    open_images(paths, SHAPE)
    open_images(paths, SHAPE)
    assert sorted(decoded_paths) == paths

    noise(paths[1])
    assert len(open_images(paths, SHAPE)) == 4
    assert sorted(decoded_paths) == sorted([*paths, *paths])


def test_the_temporary_folder_is_removed_with_the_images(paths, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    examples = open_images(paths, SHAPE)
    assert len(list((tmp_path / "temporary").rglob("*.pixels"))) == 1

    image_files._decode_into_temporary_folder.cache_clear()
    assert len(examples.read(np.arange(3))) == 3
    del examples
    gc.collect()

    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_missing_temporary_folder_is_one_line_that_names_cache_dir(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))

    with pytest.raises(
        InputError,
        match=r"^The decoded images need a writable temporary folder with 0 MB of free space\. "
        r"Received: .*absent \(No such file.*\); set TMPDIR or --cache-dir to another folder$",
    ):
        open_images(paths, SHAPE)


# The decoded images in a cache


def test_a_second_run_decodes_nothing_and_skips_the_same_files(paths, tmp_path, decoded_paths):
    first = open_images(paths, SHAPE, cache_dir=tmp_path / "cache")
    assert sorted(decoded_paths) == paths

    again = open_images(paths, SHAPE, cache_dir=tmp_path / "cache")

    np.testing.assert_array_equal(first.read(np.arange(3)), again.read(np.arange(3)))
    assert (first.skipped, first.names) == (again.skipped, again.names)
    assert sorted(decoded_paths) == paths


def test_a_changed_file_rewrites_the_cache(paths, tmp_path):
    open_images(paths, SHAPE, cache_dir=tmp_path / "cache")
    Image.new("RGB", (9, 9), "red").save(paths[0])
    os.utime(paths[0], ns=(1, 1))

    assert np.all(open_images(paths, SHAPE, cache_dir=tmp_path / "cache").read(np.array([0])) == (255, 0, 0))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"",
        lambda content: bytes(4),
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: bytes(len(content)),
    ],
    ids=["cut", "longer", "empty", "four zeros", "one bit", "zeros"],
)
def test_a_damaged_cache_is_rewritten(paths, tmp_path, decoded_paths, damage):
    expected = open_images(paths, SHAPE, cache_dir=tmp_path / "cache").read(np.arange(3))
    [file] = (tmp_path / "cache").iterdir()
    file.write_bytes(damage(file.read_bytes()))

    np.testing.assert_array_equal(open_images(paths, SHAPE, cache_dir=tmp_path / "cache").read(np.arange(3)), expected)
    assert sorted(decoded_paths) == sorted([*paths, *paths])


def test_shapes_and_folders_have_caches_of_their_own(paths, tmp_path):
    for shape in (SHAPE, (8, 8, 1)):
        assert open_images(paths, shape, cache_dir=tmp_path / "cache").read(np.array([0])).shape == (1, *shape)
    assert readable(paths[2:], tmp_path / "cache") == paths[2:]

    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_an_interrupted_writing_leaves_nothing(paths, tmp_path, monkeypatch):
    def interrupted(path, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_files, "read_image", interrupted)

    with pytest.raises(KeyboardInterrupt):
        open_images(paths, SHAPE, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_dir_that_is_no_folder_is_refused_with_the_space_that_is_needed(paths):
    with pytest.raises(
        InputError, match=r"cache_dir must be a writable folder with 0 MB of free space\. Received: .*a\.png"
    ):
        open_images(paths, SHAPE, cache_dir=paths[0])


def test_a_cache_that_vanishes_is_one_line(paths, tmp_path):
    examples = open_images(paths, SHAPE, cache_dir=tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    file.unlink()

    with pytest.raises(InputError, match=r"decoded images in cache_dir .* were removed"):
        examples.read(np.array([0]))


# The name of a cache


@pytest.mark.parametrize("change", ["name", "size", "time", "shape", "gone"])
def test_a_fingerprint_changes_with_the_files_and_the_shape(tmp_path, change):
    path, shape = noise(tmp_path / "a.png"), (8, 8, 1)
    before = fingerprint([path], shape)
    assert fingerprint([str(path)], shape) == before

    if change == "name":
        path = path.rename(tmp_path / "b.png")
    elif change == "size":
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        path.write_bytes(path.read_bytes() + b"x")
        os.utime(path, ns=times)
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "shape":
        shape = (8, 8, 3)
    else:
        path.unlink()

    assert fingerprint([path], shape) != before


def test_a_fingerprint_is_of_the_file_behind_a_linked_folder(tmp_path, monkeypatch):
    path = noise(tmp_path / "there" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path)

    assert fingerprint([tmp_path / "link" / "a.png"], (8, 8, 1)) == fingerprint([path], (8, 8, 1))
    assert fingerprint([Path("there/a.png")], (8, 8, 1)) == fingerprint([path], (8, 8, 1))


def test_a_bar_shows_on_a_terminal_how_far_it_is(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(image_files.sys, "stdout", Terminal())
    monkeypatch.setattr(image_files, "PROGRESS_BAR_DELAY", 0)
    monkeypatch.setattr(image_files, "CHUNK_SIZE", 2)

    assert list(map_in_threads(len, ["a", "bb", "ccc"], "Decoding images")) == [1, 2, 3]
    assert "Decoding images:   0%|          | 0/3" in image_files.sys.stdout.getvalue()
