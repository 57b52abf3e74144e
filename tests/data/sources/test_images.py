import io
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_tf.data.sources import images
from vae_tf.data.sources.images import (
    ImageFileSource,
    UnreadableError,
    fingerprint,
    map_in_threads,
    open_images,
    read_image,
)
from vae_tf.support.errors import InputError

ORIENTATION = 0x0112
RED, GREEN, BLUE, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)


def readable(paths, image_shape):
    """Those of the files that are found to open."""
    return [Path(name) for name in open_images(paths, image_shape).names]


def halves(left=RED, right=BLUE, size=(16, 12)):
    """An image with one colour on the left and one on the right; size is (width, height)."""
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def saved(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def corners(path, shape=(12, 16, 3)):
    """The four corner pixels: top left, top right, bottom left, bottom right."""
    pixels = read_image(path, shape)
    assert pixels.shape == shape
    assert pixels.dtype == np.uint8
    return pixels[[0, 0, -1, -1], [0, -1, 0, -1]]


# Formats and modes


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        ("jpg", {"quality": 95, "subsampling": 0}),
        ("png", {}),
        ("webp", {"lossless": True}),
        ("bmp", {}),
        ("gif", {}),
    ],
)
def test_each_format_is_read_in_its_colours(tmp_path, extension, options):
    path = saved(halves(), tmp_path / f"a.{extension}", **options)

    # JPEG's rounding between colour spaces is worth a few levels.
    np.testing.assert_allclose(corners(path), [RED, BLUE, RED, BLUE], atol=3)


@pytest.mark.parametrize(("extension", "options"), [("png", {}), ("webp", {"lossless": True}), ("bmp", {})])
def test_lossless_formats_are_read_to_the_level(tmp_path, extension, options):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    path = saved(Image.fromarray(pixels), tmp_path / f"a.{extension}", **options)

    np.testing.assert_array_equal(read_image(path, (12, 16, 3)), pixels)


def test_grey_is_repeated_over_three_channels(tmp_path):
    path = saved(Image.new("L", (16, 12), 77), tmp_path / "a.png")

    assert np.all(read_image(path, (12, 16, 3)) == 77)


def test_colour_becomes_grey_by_luminance(tmp_path):
    path = saved(halves(RED, GREEN), tmp_path / "a.png")

    # ITU-R 601: 0.299 and 0.587 of 255.
    np.testing.assert_allclose(corners(path, (12, 16, 1))[:, 0], [76, 150, 76, 150], atol=1)


def test_black_and_white_bits_become_0_and_255(tmp_path):
    path = saved(halves(BLACK, WHITE).convert("1"), tmp_path / "a.png")

    assert corners(path, (12, 16, 1)).ravel().tolist() == [0, 255, 0, 255]


def test_palette_colours_are_looked_up(tmp_path):
    path = saved(halves(RED, GREEN).quantize(2), tmp_path / "a.png")

    assert corners(path).tolist() == [list(c) for c in (RED, GREEN, RED, GREEN)]


def test_transparent_palette_colour_is_laid_on_white(tmp_path):
    image = halves(RED, BLACK).quantize(2)
    path = saved(image, tmp_path / "a.png", transparency=image.getpixel((15, 0)))

    assert corners(path).tolist() == [list(c) for c in (RED, WHITE, RED, WHITE)]


def test_half_transparent_black_is_laid_on_white_as_middle_grey(tmp_path):
    path = saved(Image.new("RGBA", (16, 12), (0, 0, 0, 128)), tmp_path / "a.png")

    # 255 * (1 - 128 / 255) = 127
    np.testing.assert_allclose(corners(path), 127, atol=1)


def test_grey_with_transparency_is_laid_on_white(tmp_path):
    path = saved(Image.new("LA", (16, 12), (0, 0)), tmp_path / "a.png")

    assert np.all(read_image(path, (12, 16, 1)) == 255)


def test_transparent_gif_is_laid_on_white(tmp_path):
    image = halves(RED, BLACK).quantize(2)
    path = saved(image, tmp_path / "a.gif", transparency=image.getpixel((15, 0)))

    assert corners(path).tolist() == [list(c) for c in (RED, WHITE, RED, WHITE)]


def test_cmyk_is_read_as_its_colours(tmp_path):
    image = Image.new("CMYK", (16, 12), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (8, 0, 16, 12))
    path = saved(image, tmp_path / "a.jpg", quality=95)

    np.testing.assert_allclose(corners(path), [WHITE, BLACK, WHITE, BLACK], atol=3)


def test_sixteen_bit_grey_is_scaled_and_not_cut(tmp_path):
    values = np.tile(np.array([0, 16384, 32768, 65535], np.uint16).repeat(4), (12, 1))
    path = saved(Image.fromarray(values), tmp_path / "a.png")

    row = read_image(path, (12, 16, 1))[0, ::4, 0]

    # A 256th of the values, to the level.
    np.testing.assert_allclose(row, [0, 64, 128, 255], atol=1)


# EXIF: the stored image is what a turned camera wrote. https://exiftool.org/TagNames/EXIF.html (Orientation)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, (RED, GREEN, BLUE, BLACK)),
        (2, (GREEN, RED, BLACK, BLUE)),
        (3, (BLACK, BLUE, GREEN, RED)),
        (4, (BLUE, BLACK, RED, GREEN)),
        (5, (RED, BLUE, GREEN, BLACK)),
        (6, (BLUE, RED, BLACK, GREEN)),
        (7, (BLACK, GREEN, BLUE, RED)),
        (8, (GREEN, BLACK, RED, BLUE)),
    ],
)
@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_image_is_turned_as_its_exif_tag_says(tmp_path, extension, orientation, expected):
    quarters = halves(RED, GREEN)
    quarters.paste(halves(BLUE, BLACK), (0, 6))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if extension == "webp" else {"quality": 95, "subsampling": 0}
    path = saved(quarters, tmp_path / f"a.{extension}", exif=exif, **options)

    np.testing.assert_allclose(corners(path), expected, atol=3)


@pytest.mark.parametrize("orientation", [None, 6])
def test_a_large_jpeg_shrinks_to_the_mean_of_each_part(tmp_path, orientation):
    exif = Image.Exif()
    if orientation:
        exif[ORIENTATION] = orientation
    grey = np.kron(np.array([[40, 200], [120, 80]], np.uint8), np.ones((400, 600), np.uint8))
    path = saved(Image.fromarray(grey), tmp_path / "a.jpg", quality=95, exif=exif)

    pixels = read_image(path, (8, 8, 1))[..., 0]

    upright = np.array([[40, 200], [120, 80]])
    expected = np.rot90(upright, -1) if orientation else upright
    np.testing.assert_allclose(pixels[1::5, 1::5], expected, atol=3)


def test_a_turned_jpeg_keeps_the_detail_that_the_target_can_show(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    stripes = np.zeros((32, 64), np.uint8)
    stripes[::2] = 255  # upright: 32 wide, 64 high, striped from left to right
    path = saved(Image.fromarray(stripes), tmp_path / "a.jpg", quality=100, exif=exif)

    row = read_image(path, (8, 32, 1))[4, :, 0]

    np.testing.assert_allclose(row, np.tile([0, 255], 16), atol=3)


# Unusual images


@pytest.mark.parametrize("extension", ["gif", "webp", "png"])
def test_first_frame_of_an_animation_is_read(tmp_path, extension):
    frames = [Image.new("RGB", (16, 12), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if extension == "webp" else {}
    path = saved(frames[0], tmp_path / f"a.{extension}", save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as image:
        assert image.n_frames == 3

    assert corners(path).tolist() == [list(RED)] * 4


def test_a_single_pixel_fills_the_image(tmp_path):
    path = saved(Image.new("RGB", (1, 1), (10, 20, 30)), tmp_path / "a.png")

    assert np.all(read_image(path, (12, 16, 3)) == (10, 20, 30))


def test_a_image_is_resized_as_pillow_does_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")

    expected = Image.fromarray(pixels).resize((16, 12), Image.Resampling.BILINEAR)

    np.testing.assert_array_equal(read_image(path, (12, 16, 3)), np.asarray(expected))


# Files that can't be opened


def damaged(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def noise(path, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), path, **options)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "bmp", "gif"])
def test_a_truncated_image_is_skipped_with_one_warning(tmp_path, capsys, extension):
    good, bad = noise(tmp_path / f"good.{extension}"), damaged(noise(tmp_path / f"bad.{extension}"))

    assert readable([bad, good], (12, 16, 3)) == [good]
    assert capsys.readouterr().err == (
        f"warning: skipped 1 of 2 files that can't be opened or have more than 67,108,864 pixels: {bad}\n"
    )


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM"])
def test_a_file_that_only_looks_like_a_image_is_skipped(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)

    assert readable([path], (12, 16, 3)) == []


def test_many_unreadable_files_are_counted_and_the_first_three_named(tmp_path, capsys):
    good = [saved(halves(), tmp_path / f"good{number}.png") for number in range(3)]
    bad = [tmp_path / f"bad{number}.jpg" for number in range(5)]
    for path in bad:
        path.touch()

    assert readable([*bad, *good], (12, 16, 3)) == good

    assert capsys.readouterr().err == (
        "warning: skipped 5 of 8 files that can't be opened or have more than 67,108,864 pixels: "
        f"{bad[0]}, {bad[1]}, {bad[2]} and 2 more\n"
    )


def test_good_files_give_no_warning(tmp_path, capsys):
    paths = [saved(halves(), tmp_path / "a.png")]

    assert readable(paths, (12, 16, 3)) == paths
    assert capsys.readouterr().err == ""


def claiming(path, width, height):
    """A small PNG whose header claims other sides."""
    content = saved(halves(), path).read_bytes()
    header = b"IHDR" + width.to_bytes(4) + height.to_bytes(4) + content[24:29]
    path.write_bytes(content[:12] + header + zlib.crc32(header).to_bytes(4) + content[33:])
    return path


# Pillow itself warns above 89,478,485 pixels and refuses above twice that.
@pytest.mark.parametrize("sides", [(2**26 + 1, 1), (10_000, 9_999), (20_000, 20_000), (2**31 - 1, 2**31 - 1)], ids=str)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_image_of_too_many_pixels_is_refused_by_its_header(tmp_path, sides):
    path = claiming(tmp_path / "a.png", *sides)

    with pytest.raises(UnreadableError, match=r"^the image has more than 67,108,864 pixels$"):
        read_image(path, (12, 16, 3))
    with pytest.raises(InputError, match=r"a\.png .* \(the image has more than 67,108,864 pixels\)"):
        ImageFileSource([path], (12, 16, 3)).read(np.array([0]))


def test_a_image_of_as_many_pixels_as_allowed_opens(tmp_path, monkeypatch):
    path = saved(halves(), tmp_path / "a.png")

    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 12)
    assert readable([path], (12, 16, 3)) == [path]
    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 12 - 1)
    assert readable([path], (12, 16, 1)) == []


def test_a_jpeg_of_too_many_pixels_is_skipped_though_its_ends_are_whole(tmp_path, monkeypatch):
    path = saved(halves(), tmp_path / "a.jpg")
    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 12 - 1)

    assert readable([path], (12, 16, 3)) == []


@pytest.mark.parametrize("limit", [16 * 12 - 1, 16 * 12])
def test_large_images_are_decoded_one_at_a_time(tmp_path, monkeypatch, limit):
    alone = []
    monkeypatch.setattr(images, "LARGE_IMAGE_PIXELS", limit)
    monkeypatch.setattr(
        images, "_to_8_bit_opaque", lambda image: alone.append(images._large_image_lock.locked()) or image
    )

    read_image(saved(halves(), tmp_path / "a.png"), (12, 16, 3))

    assert alone == [limit < 16 * 12]
    assert not images._large_image_lock.locked()


def test_the_extension_does_not_matter_but_the_format_does(tmp_path):
    saved(halves(), tmp_path / "a.png").rename(tmp_path / "a.jpg")
    saved(halves(), tmp_path / "b.tiff").rename(tmp_path / "b.png")

    assert readable([tmp_path / "a.jpg", tmp_path / "b.png"], (12, 16, 3)) == [tmp_path / "a.jpg"]


def test_a_whole_jpeg_is_not_decoded_to_see_that_it_opens(tmp_path, monkeypatch):
    paths = [noise(tmp_path / f"{number}.jpg") for number in range(3)]
    monkeypatch.setattr(images, "read_image", None)

    assert open_images(paths, (8, 8, 1)).names == [str(path) for path in paths]


def turned(path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return noise(path, exif=exif)


def with_bytes_behind(path):
    noise(path).write_bytes(path.read_bytes() + bytes(9))
    return path


@pytest.mark.parametrize("odd", [turned, with_bytes_behind], ids=["turned", "bytes behind it"])
def test_other_jpegs_are_decoded_and_open(tmp_path, monkeypatch, odd):
    decoded = []
    monkeypatch.setattr(images, "read_image", lambda path, shape: decoded.append(path) or read_image(path, shape))

    path = odd(tmp_path / "a.jpg")

    assert len(open_images([path], (8, 8, 1))) == 1
    assert decoded == [path]


def test_unchanged_files_are_looked_at_once_and_changed_ones_again(tmp_path, capsys):
    paths = [noise(tmp_path / "a.png"), damaged(noise(tmp_path / "b.png"))]

    assert len(open_images(paths, (8, 8, 1))) == len(open_images(paths, (8, 8, 1))) == 1
    assert capsys.readouterr().err.count("skipped") == 1

    noise(tmp_path / "b.png")
    assert len(open_images(paths, (8, 8, 1))) == 2


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

    monkeypatch.setattr(images.sys, "stdout", Terminal())
    monkeypatch.setattr(images, "PROGRESS_BAR_DELAY", 0)
    monkeypatch.setattr(images, "CHUNK_SIZE", 2)

    assert list(map_in_threads(len, ["a", "bb", "ccc"], "Checking images")) == [1, 2, 3]
    assert "Checking images:   0%|          | 0/3" in images.sys.stdout.getvalue()


# The collection


def test_a_image_that_vanishes_is_told_in_one_line(tmp_path):
    path = noise(tmp_path / "a\nb.png")
    examples = open_images([path], (8, 8, 1))
    path.unlink()

    with pytest.raises(InputError, match=r"a b\.png can no longer be decoded \(.*No such file"):
        examples.read(np.array([0]))


def test_a_image_that_can_no_longer_be_decoded_is_told_in_one_line(tmp_path):
    path = noise(tmp_path / "a.png")
    examples = ImageFileSource([path], (8, 8, 1))
    path.write_bytes(b"changed")

    with pytest.raises(InputError, match=r"a\.png can no longer be decoded \(cannot identify"):
        examples.read(np.array([0]))


def test_labels_go_with_the_images_of_a_part(tmp_path):
    examples = ImageFileSource(["a", "b", "c"], (8, 8, 1)).with_labels(np.array([5, 6, 7]))

    part = examples.subset(np.array([2, 0])).subset(np.array([1, 0]))

    assert (part.names, part.labels.tolist()) == (["a", "c"], [5, 7])


def test_read_returns_the_images_asked_for(tmp_path):
    paths = [saved(Image.new("L", (9, 9), level), tmp_path / f"{level}.png") for level in (10, 20, 30)]

    batch = ImageFileSource(paths, (8, 10, 1)).read(np.array([2, 0, 2]))

    assert batch.shape == (3, 8, 10, 1)
    assert batch.dtype == np.uint8
    assert batch[:, 0, 0, 0].tolist() == [30, 10, 30]


def test_subset_is_of_the_same_shape_in_the_order_asked_for(tmp_path):
    paths = [saved(Image.new("L", (9, 9), level), tmp_path / f"{level}.png") for level in (10, 20, 30)]

    part = ImageFileSource(paths, (8, 10, 1)).subset(np.array([2, 1]))

    assert len(part) == 2
    assert part.example_shape == (8, 10, 1)
    assert part.read(np.arange(2))[:, 0, 0, 0].tolist() == [30, 20]


def test_names_are_the_paths_also_in_a_part():
    examples = ImageFileSource([Path("cats/a.png"), Path("cats/b.png"), Path("c.png")], (8, 8, 1))
    assert examples.subset(np.array([2, 0])).names == ["c.png", str(Path("cats", "a.png"))]


def test_a_pipe_among_images_is_skipped_and_not_waited_for(tmp_path, capsys):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")

    assert open_images([tmp_path / "a.png", tmp_path / "b.png"], (8, 8, 1)).names == [str(tmp_path / "a.png")]
    assert "b.png" in capsys.readouterr().err
