"""How an image of any aspect ratio becomes one of a given size: the geometry, for image files and for arrays."""

from typing import NamedTuple

from vae_tf.config.data import Fit


class Placement(NamedTuple):
    """The part of an image that is used, its size after scaling, and its place in the result.

    Attributes:
        top, left, bottom, right: Edges of the part of the image that is used, in pixels; they can lie within a pixel.
        height, width: Size to which this part is scaled, in pixels.
        row, column: Position of its top left corner in the result; the rest of the result is white.
    """

    top: float
    left: float
    bottom: float
    right: float
    height: int
    width: int
    row: int = 0
    column: int = 0


def fit_image(size: tuple[float, float], target: tuple[int, int], fit: Fit) -> Placement:
    """Returns how an image is resized to a given size.

    Args:
        size: `(height, width)` of the image in pixels, not necessarily integers.
        target: `(height, width)` of the result.
        fit: `"crop"` scales the image until it covers the target, and cuts off the excess on both sides; `"pad"` scales
            it until it fits inside the target, and centres it on white; `"stretch"` scales both sides, whatever the
            aspect ratio.
    """
    ratios = [wanted / side for wanted, side in zip(target, size, strict=True)]
    if fit == "crop":
        height, width = (wanted / max(ratios) for wanted in target)
        top, left = (size[0] - height) / 2, (size[1] - width) / 2
        return Placement(top, left, top + height, left + width, *target)
    if fit == "pad":
        height, width = (max(1, round(side * min(ratios))) for side in size)
        return Placement(0, 0, *size, height, width, (target[0] - height) // 2, (target[1] - width) // 2)
    return Placement(0, 0, *size, *target)
