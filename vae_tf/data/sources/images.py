"""Decodes image files."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from vae_tf.config.data import Fit
from vae_tf.data.fit import fit_image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF")
MAX_PIXELS = 2**26  # a small file can decode to an image that does not fit in memory
LARGE_IMAGE_PIXELS = 2**22
CACHE_VERSION = 2  # increase it whenever `read_image` changes what it returns for a file
REDUCING_GAP = 2  # a JPEG is decoded at no less than this multiple of the requested size
ORIENTATION_TAG, ROTATED_90 = 0x0112, (5, 6, 7, 8)
# How to turn an image upright, by the value of its EXIF orientation tag.
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow converts the pixels of these PNGs to 8 bits, but not their transparent colour.
TRANSPARENT_COLOUR_SCALES: dict[object, float] = {"L;2": 85.0, "L;4": 17.0, "RGB;16B": 1 / 256}

_large_image_lock = threading.Lock()


class UnreadableError(Exception):
    """A file can't be decoded as an image, or the image is too large."""


def read_image(path: str | Path | IO[bytes], image_shape: tuple[int, int, int], fit: Fit = "stretch") -> np.ndarray:
    """Returns the first frame of an image file as uint8 of `image_shape`.

    The image is rotated according to its EXIF tag, transparency becomes white, and the image is resized with an
    antialiased triangle filter. A JPEG of more than twice the size is first shrunk by its decoder.

    Args:
        path: An open file or a path; the file must have one of the `FORMATS`, and may have any name and colour mode.
        image_shape: `(height, width, channels)` with 1 or 3 channels.
        fit: How an image of another aspect ratio is resized to this shape; see `fit_image`.

    Raises:
        UnreadableError: The image can't be decoded, or has more than `MAX_PIXELS` pixels.
    """
    try:
        return _read_image(path, image_shape, fit, may_shrink=True)
    except UnreadableError:  # the decoder can't shrink a lossless JPEG (ITU-T T.81, process 14)
        return _read_image(path, image_shape, fit, may_shrink=False)


def _read_image(
    path: str | Path | IO[bytes], image_shape: tuple[int, int, int], fit: Fit, *, may_shrink: bool
) -> np.ndarray:
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    with _open_image(path) as image:
        _scale_transparent_colour(image)
        orientation = image.getexif().get(ORIENTATION_TAG)
        size = (height, width) if orientation in ROTATED_90 else (width, height)
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, rounded up; the image itself ends within the last pixel.
        draft = image.draft(mode, (REDUCING_GAP * size[0], REDUCING_GAP * size[1])) if may_shrink else None
        width_used, height_used = image.size if draft is None else draft[1][2:]
        place = fit_image((height_used, width_used), size[::-1], fit)
        box = (place.left, place.top, place.right, place.bottom)
        # Large images are decoded one at a time, because one per thread could exhaust the memory.
        with _large_image_lock if math.prod(image.size) > LARGE_IMAGE_PIXELS else nullcontext():
            opaque = _to_8_bit_opaque(image).convert(mode)
            small = opaque.resize((place.width, place.height), Image.Resampling.BILINEAR, box)
    upright = small.transpose(TRANSPOSITIONS[orientation]) if orientation in TRANSPOSITIONS else small
    result = Image.new(mode, (width, height), "white")
    result.paste(upright, ((width - upright.width) // 2, (height - upright.height) // 2))
    return np.asarray(result).reshape(image_shape)


@contextmanager
def _open_image(path: str | Path | IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    """Opens an image and checks its size; turns every error in its body into an `UnreadableError`."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if math.prod(image.size) > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except Image.DecompressionBombError:  # Pillow also raises it, at a higher limit
        raise UnreadableError(f"the image has more than {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise UnreadableError(f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from None
    except Exception as error:  # Pillow raises many kinds of errors for bytes that are not an image
        raise UnreadableError(getattr(error, "strerror", None) or str(error) or type(error).__name__) from None


def _scale_transparent_colour(image: ImageFile.ImageFile) -> None:
    """Converts the transparent colour of an image to 8 bits, as Pillow will convert the pixels when it decodes them."""
    scale = TRANSPARENT_COLOUR_SCALES.get(image.tile[0].args) if image.tile else None
    if scale is not None and "transparency" in image.info:
        colour = (np.array(image.info["transparency"]) * scale).astype(int).tolist()
        image.info["transparency"] = tuple(colour) if image.mode == "RGB" else colour


def _to_8_bit_opaque(image: ImageFile.ImageFile) -> Image.Image:
    """Returns the image with 8 bits per channel and without transparency."""
    transparent = image.info.get("transparency")
    if image.mode.startswith("I"):
        # Pillow's own conversion clips 16-bit values at 255 instead of scaling them: 65535 is 255 * 257.
        values = np.asarray(image)
        pixels = (values // 257).astype(np.uint8)
        if transparent is not None:
            pixels[values == transparent] = 255
        return Image.fromarray(pixels)
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    return image
