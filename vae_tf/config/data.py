"""Data options: which dataset to use, how to preprocess it, and how to split it."""

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vae_tf import registry
from vae_tf.config.base import MAX_COUNT, Config, OneOf, Seed, UserPath
from vae_tf.support.arguments import Heading, Metavar
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

MIN_IMAGE_SIZE = 8
MAX_IMAGE_SIZE = 4096
MAX_NOISE = 10.0

Fit = Literal["crop", "pad", "stretch"]


def _parse_image_size(value: object) -> object:
    """Converts `50`, `"50"`, `"64x48"` or `[64, 48]` (height and width) to `"HxW"`."""
    if value is None:
        return None
    sides = list(value) if isinstance(value, (list, tuple)) else str(value).lower().split("x")
    if len(sides) == 1:
        sides *= 2
    try:
        height, width = (int(str(side)) for side in sides)
    except ValueError:
        raise InputError(
            f"image_size must be SIZE or HEIGHTxWIDTH in pixels, such as 50 or 64x48. Received: image_size={value}"
        ) from None
    if min(height, width) < MIN_IMAGE_SIZE:
        raise InputError(
            f"image_size must be at least {MIN_IMAGE_SIZE} pixels on each side. Received: image_size={value}"
        )
    if max(height, width) > MAX_IMAGE_SIZE:
        raise InputError(
            f"image_size must be at most {MAX_IMAGE_SIZE} pixels on each side. Received: image_size={value}"
        )
    return f"{height}x{width}"


def _parse_digits(value: object) -> object:
    """Converts digits from the command line to an integer, because a Literal of integers does not accept `"1"`."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _parse_corruption(value: object) -> object:
    """Checks the type and the amount of a corruption, such as `"gaussian:.30"`, and returns `"gaussian:0.3"`."""
    if value == "none":
        return value
    kind, _, amount = str(value).partition(":")
    check_name("corrupt", kind, ("none", *registry.CORRUPTIONS))
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    max_amount = MAX_NOISE if kind == "gaussian" else 1.0
    if not 0 < number <= max_amount:
        raise InputError(
            f"corrupt must be TYPE:AMOUNT with an amount in (0, {max_amount:g}], such as {kind}:0.3. "
            f"Received: corrupt={value}"
        )
    return f"{kind}:{number:g}"


class DataConfig(Config):
    """Which dataset to use, how to preprocess it, and how to split it."""

    heading = "data"

    dataset: Annotated[str, OneOf("dataset", registry.DATASETS)] = "fashion_mnist_sample"
    """Dataset of images: fashion_mnist_sample (bundled), fashion_mnist, mnist, cifar10, stl10, stl10_unlabeled, folder,
    npz or npy; or of 2D points: moons, circles or blobs, which have their own defaults (such as the dense network, 2
    latent dimensions and the learned_gaussian likelihood)."""
    data_dir: UserPath | None = None
    """Path to the data. For folder: a folder of images, or a .txt file that lists them. For npz and npy: the file. For
    the other datasets of images: a folder with their downloaded files."""
    image_size: Annotated[str, BeforeValidator(_parse_image_size), Metavar("SIZE")] | None = None
    """Resize images to this size in pixels: one number for square images, or HEIGHTxWIDTH, such as 64x48. Default: the
    size of the images; 64 with --dataset folder."""
    fit: Fit | None = None
    """How to resize images whose aspect ratio differs from --image-size: crop (scale to cover, cut off the excess), pad
    (scale to fit, fill the rest with white) or stretch. Default: crop with --dataset folder, otherwise stretch; always
    stretch with a config file that has no format_version, or one below 3."""
    channels: Annotated[Literal[1, 3], BeforeValidator(_parse_digits)] | None = None
    """Convert images to greyscale (1) or RGB (3). Default: as in the data; 3 with --dataset folder."""
    flip: bool = False
    """Flip each training image from left to right with probability 1/2, anew in every epoch; validation and test images
    are never flipped."""
    binarize: Literal["none", "static", "dynamic"] = "none"
    """Binarize images by sampling each pixel with its intensity as the probability of 1: once (static), anew in every
    epoch (dynamic), or not at all (none)."""
    conditional: bool = False
    """Condition the encoder and decoder on the class of each example; requires labelled data."""
    corrupt: Annotated[str, BeforeValidator(_parse_corruption), Metavar("TYPE:AMOUNT")] = "none"
    """Train a denoising VAE, which restores inputs corrupted by noise: none, or TYPE:AMOUNT, such as gaussian:0.3
    (standard deviation), salt-pepper:0.1 or mask:0.5 (probability for each pixel)."""
    val_fraction: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False)
    """Fraction of the training set to hold out for validation (the val_* metrics); 0 turns validation off."""
    cache_dir: UserPath | None = None
    """Folder in which to keep decoded images for later runs; only with --dataset folder. Default: a temporary folder,
    which is removed at the end."""
    batch_size: Annotated[int, Heading("training")] = Field(128, ge=1, le=MAX_COUNT)
    """Number of examples per update."""
    seed: Annotated[Seed, Heading("training")] = 0
    """Random seed for the validation split, shuffling, weight initialization and sampling."""

    @model_validator(mode="after")
    def _check_cache_dir(self) -> Self:
        if self.cache_dir is not None and self.dataset != "folder":
            raise InputError(f"cache_dir needs dataset=folder. Received: dataset={self.dataset}")
        return self

    @model_validator(mode="after")
    def _check_image_options(self) -> Self:
        if self.dataset in registry.TOY_DATASETS:
            for name in ("data_dir", "image_size", "fit", "channels", "flip", "corrupt", "binarize"):
                if getattr(self, name) not in (None, "none", False):
                    received = f"dataset={self.dataset}, {name}={getattr(self, name)}"
                    raise InputError(f"{name} applies only to images. Received: {received}")
        return self

    @property
    def image_fit(self) -> Fit:
        """`fit`, or the dataset's default if it is not set."""
        return self.fit or ("crop" if self.dataset == "folder" else "stretch")
