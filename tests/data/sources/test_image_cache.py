import os

import numpy as np
import pytest
from PIL import Image

from vae_tf.data.sources import image_cache
from vae_tf.data.sources.image_cache import open_cached_images
from vae_tf.data.sources.images import open_images, read_image
from vae_tf.support.errors import InputError

SHAPE = (6, 5, 3)


@pytest.fixture
def paths(tmp_path):
    """Three images, and in their midst a file that is none."""
    names = [tmp_path / name for name in ("a.png", "b.jpg", "c.jpg", "d.png")]
    rng = np.random.default_rng(0)
    for name in names:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(name)
    names[1].write_bytes(b"no image")
    return names


@pytest.fixture
def decodings(monkeypatch):
    """The files decoded so far."""
    seen = []
    monkeypatch.setattr(image_cache, "read_image", lambda path, *args: seen.append(path) or read_image(path, *args))
    return seen


def test_images_are_those_of_the_files(paths, tmp_path):
    kept, plain = open_cached_images(paths, SHAPE, tmp_path / "new" / "cache"), open_images(paths, SHAPE)

    assert kept.names == plain.names == [str(paths[index]) for index in (0, 2, 3)]
    np.testing.assert_array_equal(kept.read(np.array([2, 0, 2])), plain.read(np.array([2, 0, 2])))
    part = kept.subset(np.array([2, 1]))
    np.testing.assert_array_equal(part.read(np.arange(2)), plain.read(np.array([2, 1])))


def test_a_second_run_decodes_nothing_and_warns_again(paths, tmp_path, decodings, capsys):
    first = open_cached_images(paths, SHAPE, tmp_path / "cache").read(np.arange(3))
    assert len(decodings) == 4

    again = open_cached_images(paths, SHAPE, tmp_path / "cache").read(np.arange(3))

    np.testing.assert_array_equal(first, again)
    assert len(decodings) == 4
    assert capsys.readouterr().err.count(f"67,108,864 pixels: {paths[1]}\n") == 2


def test_a_changed_file_rewrites_the_cache(paths, tmp_path, decodings):
    open_cached_images(paths, SHAPE, tmp_path / "cache")
    Image.new("RGB", (9, 9), "red").save(paths[0])
    os.utime(paths[0], ns=(1, 1))

    images = open_cached_images(paths, SHAPE, tmp_path / "cache").read(np.array([0]))

    assert np.all(images == (255, 0, 0))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: b"",
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: bytes(len(content)),
    ],
    ids=["cut", "longer", "empty", "one bit", "zeros"],
)
def test_a_damaged_cache_is_rewritten(paths, tmp_path, decodings, damage):
    expected = open_cached_images(paths, SHAPE, tmp_path / "cache").read(np.arange(3))
    [file] = (tmp_path / "cache").iterdir()
    file.write_bytes(damage(file.read_bytes()))

    np.testing.assert_array_equal(open_cached_images(paths, SHAPE, tmp_path / "cache").read(np.arange(3)), expected)
    assert len(decodings) == 8


def test_shapes_and_folders_have_caches_of_their_own(paths, tmp_path):
    for shape in (SHAPE, (8, 8, 1)):
        assert open_cached_images(paths, shape, tmp_path / "cache").read(np.array([0])).shape == (1, *shape)
    assert open_cached_images(paths[2:], SHAPE, tmp_path / "cache").names == [str(path) for path in paths[2:]]

    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_an_interrupted_writing_leaves_nothing(paths, tmp_path, monkeypatch):
    def interrupted(path, *args):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_cache, "read_image", interrupted)

    with pytest.raises(KeyboardInterrupt):
        open_cached_images(paths, SHAPE, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_place_that_is_no_folder_is_told_with_the_room_that_is_needed(paths, tmp_path):
    with pytest.raises(
        InputError, match=r"cache_dir must be a writable folder with 0 MB of free space\. Received: .*a\.png"
    ):
        open_cached_images(paths, SHAPE, paths[0])


def test_a_cache_that_vanishes_is_told_in_one_line(paths, tmp_path):
    examples = open_cached_images(paths, SHAPE, tmp_path / "cache")
    [file] = (tmp_path / "cache").iterdir()
    file.unlink()

    with pytest.raises(InputError, match="cache_dir"):
        examples.read(np.array([0]))
