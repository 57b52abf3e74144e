import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from vae_tf.data.sources import images
from vae_tf.data.sources.images import UnreadableError, read_image

ORIENTATION = 0x0112
RED, GREEN, BLUE, BLACK, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)


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
        ("dib", {}),
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


def png(depth, colour_type, row, transparent):
    """A PNG of 8x8 pixels, all rows alike, with a transparent colour. https://www.w3.org/TR/png-3/ (tRNS)"""

    def chunk(kind, content):
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 8, 8, depth, colour_type, 0, 0, 0),
        b"tRNS": struct.pack(f">{len(transparent)}H", *transparent),
        b"IDAT": zlib.compress((b"\0" + row) * 8),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in chunks.items())


@pytest.mark.parametrize(
    ("depth", "colour_type", "row", "transparent", "opaque"),
    [
        (1, 0, b"\x0f", [0], 255),
        (2, 0, b"\x55\xaa", [1], 170),
        (4, 0, b"\x55\x55\xaa\xaa", [5], 170),
        (8, 0, b"\x05" * 4 + b"\xaa" * 4, [5], 170),
        (16, 0, b"\0\0" * 4 + b"\xaa\xaa" * 4, [0], 170),
        (16, 0, b"\x12\x34" * 4 + b"\xaa\xaa" * 4, [0x1234], 170),
        (8, 2, b"\x05" * 12 + b"\xaa" * 12, [5, 5, 5], 170),
        (16, 2, b"\x12\x34" * 12 + b"\xaa\xaa" * 12, [0x1234] * 3, 170),
        (16, 2, b"\0\x34" * 12 + b"\xaa\xaa" * 12, [0x34] * 3, 170),
    ],
    ids=["grey1", "grey2", "grey4", "grey8", "grey16 black", "grey16", "rgb8", "rgb16", "rgb16 dark"],
)
def test_a_transparent_colour_of_any_depth_is_laid_on_white(depth, colour_type, row, transparent, opaque):
    pixels = read_image(io.BytesIO(png(depth, colour_type, row, transparent)), (8, 8, 1))

    assert pixels[..., 0].tolist() == [[255] * 4 + [opaque] * 4] * 8


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


def test_a_turned_image_with_another_tag_of_an_odd_type_is_turned(tmp_path):
    # Pillow can read this tag (ImageWidth, a negative number), but not write it.
    tags = struct.pack(">HHIi", 0x0100, 9, 1, -1) + struct.pack(">HHIHH", ORIENTATION, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 2) + tags + bytes(4)
    path = saved(halves(RED, BLUE), tmp_path / "a.jpg", quality=95, subsampling=0, exif=exif)

    np.testing.assert_allclose(corners(path, (16, 12, 3)), [RED, RED, BLUE, BLUE], atol=3)


@pytest.mark.parametrize("exif", [b"no tags at all", b"MM\0*\0\0\0\x08\0\x05\x01"], ids=["text", "cut"])
@pytest.mark.filterwarnings("ignore:.*EXIF data")
def test_an_image_with_damaged_exif_tags_is_read_as_it_is_stored(tmp_path, exif):
    path = saved(halves(), tmp_path / "a.jpg", quality=95, subsampling=0, exif=b"Exif\0\0" + exif)

    np.testing.assert_allclose(corners(path), [RED, BLUE, RED, BLUE], atol=3)


# Shrinking a JPEG while it is decoded


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("shape", [(64, 64, 3), (50, 80, 1), (107, 160, 3), (200, 300, 3)], ids=str)
def test_photographs_are_shrunk_as_if_they_were_decoded_in_full(tmp_path, shape, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    errors = []
    for photograph in load_sample_images().images:
        jpeg = saved(Image.fromarray(photograph[:417, :633]), tmp_path / "a.jpg", quality=90, exif=exif)
        with Image.open(jpeg) as stored:
            twin = saved(stored.convert("RGB"), tmp_path / "a.png", exif=exif)
        errors.append(np.abs(read_image(jpeg, shape).astype(int) - read_image(twin, shape)).mean())

    assert max(errors) < 1  # 2 levels are allowed; the worst of these is 0.6


@pytest.mark.parametrize("side", [8 * 8 - 1, 8 * 8 + 1, 2 * 8 * 8 + 1, 2 * 8 * 8 + 7])
@pytest.mark.parametrize("orientation", [1, 6])
def test_an_edge_stays_in_place_whatever_the_side_of_the_jpeg(tmp_path, side, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    ramp = np.tile(np.linspace(0, 255, side).astype(np.uint8), (side, 1))
    paths = [saved(Image.fromarray(ramp), tmp_path / f"a.{name}", exif=exif, quality=100) for name in ("jpg", "png")]

    jpeg, png = (read_image(path, (8, 8, 1)).astype(int) for path in paths)

    assert np.abs(jpeg - png).max() <= 2


def lossless_jpeg(pixels):
    """A grey JPEG without loss: each pixel is stored as its difference from its left neighbour, or the one above.

    ITU-T T.81, annex H, with predictor 1. The Huffman code of each category is the category itself, in 4 bits.
    """
    height, width = pixels.shape
    predicted = np.zeros((height, width), int)
    predicted[:, 1:] = pixels[:, :-1]
    predicted[1:, 0] = pixels[:-1, 0]
    predicted[0, 0] = 128
    bits = ""
    for difference in (pixels.astype(int) - predicted).ravel().tolist():
        category = abs(difference).bit_length()
        bits += f"{category:04b}"
        if category:
            bits += f"{difference if difference > 0 else difference + 2**category - 1:0{category}b}"
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")

    def segment(marker, content):
        return b"\xff" + bytes([marker]) + (len(content) + 2).to_bytes(2) + content

    frame = struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)
    table = bytes([0, 0, 0, 0, 10] + [0] * 12) + bytes(range(10))
    start = bytes([1, 1, 0, 1, 0, 0])
    return b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, table) + segment(0xDA, start) + scan + b"\xff\xd9"


@pytest.mark.parametrize("shape", [(64, 64, 1), (32, 32, 1), (8, 16, 3)], ids=str)
def test_a_lossless_jpeg_is_read_at_any_size(tmp_path, shape):
    pixels = np.add.outer(np.arange(64), np.arange(64) // 2 * 3).astype(np.uint8)
    twin = saved(Image.fromarray(pixels), tmp_path / "twin.png")

    np.testing.assert_array_equal(read_image(io.BytesIO(lossless_jpeg(pixels)), shape), read_image(twin, shape))


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


# Images that can't be read


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM"])
def test_a_file_that_is_no_image_is_refused(content):
    with pytest.raises(UnreadableError, match=r"^not a PNG, JPEG, WEBP, BMP, DIB or GIF image$"):
        read_image(io.BytesIO(content), (12, 16, 3))


def test_a_file_that_may_not_be_read_is_refused(tmp_path, ordinary_user):
    path = saved(halves(), tmp_path / "a.png")
    path.chmod(0)

    with ordinary_user, pytest.raises(UnreadableError, match=r"^Permission denied$"):
        read_image(path, (12, 16, 3))


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


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_image_of_as_many_pixels_as_allowed_is_read(tmp_path, monkeypatch, extension):
    path = saved(halves(), tmp_path / f"a.{extension}")

    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 12)
    assert read_image(path, (12, 16, 3)).shape == (12, 16, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 16 * 12 - 1)
    with pytest.raises(UnreadableError, match="more than 191 pixels"):
        read_image(path, (12, 16, 3))


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

    assert corners(tmp_path / "a.jpg").tolist() == [list(c) for c in (RED, BLUE, RED, BLUE)]
    with pytest.raises(UnreadableError, match=r"^not a PNG"):
        read_image(tmp_path / "b.png", (12, 16, 3))
