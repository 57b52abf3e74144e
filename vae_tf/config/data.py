"""Data options: which dataset to use, in which shape, and how to split it."""

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vae_tf import registry
from vae_tf.config.base import LARGEST_COUNT, Config, OneOf, Seed, UserPath
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

SMALLEST_SIDE = 8
LARGEST_SIDE = 4096
LARGEST_NOISE = 10.0


def _image_size(value: object) -> object:
    """Converts `50`, `"50"`, `"64x48"` or `[64, 48]` (height, width) to `"HxW"`."""
    if value is None:
        return None
    sides = list(value) if isinstance(value, (list, tuple)) else str(value).lower().split("x")
    if len(sides) == 1:
        sides *= 2
    try:
        height, width = (int(str(side)) for side in sides)
    except ValueError:
        raise InputError(
            f"image_size must be a side or HEIGHTxWIDTH in pixels, as 50 or 64x48. Received: image_size={value}"
        ) from None
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"image_size must be at least {SMALLEST_SIDE} pixels a side. Received: image_size={value}")
    if max(height, width) > LARGEST_SIDE:
        raise InputError(f"image_size must be at most {LARGEST_SIDE} pixels a side. Received: image_size={value}")
    return f"{height}x{width}"


def _whole(value: object) -> object:
    """Converts digits from the command line to an integer, as a Literal of numbers does not accept `"1"`."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _corruption(value: object) -> object:
    """Returns a corruption, such as `"gaussian:0.3"`, after checking its kind and amount."""
    if value == "none":
        return value
    kind, _, amount = str(value).partition(":")
    check_name("corrupt", kind, ("none", *registry.CORRUPTIONS))
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    largest = LARGEST_NOISE if kind == "gaussian" else 1.0
    if not 0 < number <= largest:
        raise InputError(
            f"corrupt must name a kind and an amount in (0, {largest:g}], as {kind}:0.3. Received: corrupt={value}"
        )
    return f"{kind}:{number:g}"


class DataConfig(Config):
    """Which data to use, in which shape, and how to split it."""

    dataset: Annotated[str, OneOf("dataset", registry.DATASETS)] = "fashion_mnist_sample"
    """Dataset of images: fashion_mnist_sample (embedded), fashion_mnist, mnist, cifar10, stl10, stl10_unlabeled,
    folder, npz or npy; or of 2D points: moons, circles or blobs, which have their own defaults (dense, plain, 2
    latents, learned_gaussian)."""
    data_dir: UserPath | None = None
    """Path of the data: a folder (for folder, or a named dataset on disk) or a file (npz, npy, or a .txt list for
    folder)."""
    image_size: Annotated[str, BeforeValidator(_image_size)] | None = None
    """Resize images to this side, or to HEIGHTxWIDTH, in pixels. Default: the size of the data; 64 for folder."""
    channels: Annotated[Literal[1, 3], BeforeValidator(_whole)] | None = None
    """Convert images to grey (1) or colour (3). Default: the channels of the data; 3 for folder."""
    binarize: Literal["none", "static", "dynamic"] = "none"
    """Sample 0/1 pixels with the grey value as probability: once (static), every epoch (dynamic) or never (none)."""
    conditional: bool = False
    """Condition the encoder and decoder on the class of each example; needs labelled data."""
    corrupt: Annotated[str, BeforeValidator(_corruption)] = "none"
    """Corrupt the inputs and learn to restore them: none, or a kind with an amount, such as gaussian:0.3 (standard
    deviation), salt-pepper:0.1 or mask:0.5 (fraction of pixels)."""
    val_fraction: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False)
    """Fraction of the training set to hold out for validation (the val_* columns); 0 turns validation off."""
    cache_dir: UserPath | None = None
    """Folder to cache decoded images in, for later epochs and runs; only with dataset=folder. Default: no cache."""
    batch_size: int = Field(128, ge=1, le=LARGEST_COUNT)
    """Examples per update."""
    seed: Seed = 0
    """Seed of the validation split, the order of examples, the initial weights and the noise."""

    @model_validator(mode="after")
    def _cache_for_files_to_decode(self) -> Self:
        if self.cache_dir is not None and self.dataset != "folder":
            raise InputError(f"cache_dir needs dataset=folder. Received: dataset={self.dataset}")
        return self

    @model_validator(mode="after")
    def _picture_options_for_pictures(self) -> Self:
        if self.dataset in registry.TOY_DATASETS:
            for name in ("data_dir", "image_size", "channels", "corrupt", "binarize"):
                if getattr(self, name) not in (None, "none"):
                    raise InputError(
                        f"{name} needs pictures. Received: dataset={self.dataset}, {name}={getattr(self, name)}"
                    )
        return self
