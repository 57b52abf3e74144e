"""Options of the data: which examples, in which shape, split how."""

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vae_tf import registry
from vae_tf.config.base import LARGEST_COUNT, Config, Seed, UserPath, one_of
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

SMALLEST_SIDE = 8
LARGEST_SIDE = 4096
LARGEST_NOISE = 10.0


def _image_size(value: object) -> object:
    """`50`, `"50"`, `"64x48"` or `[64, 48]` (height, width) to `"HxW"`."""
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
    """The command line delivers `"1"`, which a Literal of numbers would not take."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _corruption(value: object) -> object:
    """`"gaussian:0.3"` if kind and amount are ones there are."""
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
    """Which pictures, in which shape, split how."""

    dataset: Annotated[str, one_of("dataset", registry.DATASETS)] = "fashion_mnist_sample"
    """fashion_mnist_sample (embedded), fashion_mnist, mnist, cifar10, stl10, stl10_unlabeled, folder, npz or npy; or
    points of a plane: moons, circles, blobs, whose defaults are others (dense, plain, 2 latents, learned_gaussian)."""
    data_dir: UserPath | None = None
    """Where the data is: a folder (folder, or a named set on disk) or a file (npz, npy, .txt list for folder)."""
    image_size: Annotated[str, BeforeValidator(_image_size)] | None = None
    """Resize to this side, or HEIGHTxWIDTH, in pixels. Default: as the data is; 64 for a folder."""
    channels: Annotated[Literal[1, 3], BeforeValidator(_whole)] | None = None
    """1 for grey, 3 for colour. Default: as the data is; 3 for a folder."""
    binarize: Literal["none", "static", "dynamic"] = "none"
    """Draw 0/1 pixels with the grey value as probability: once (static) or afresh every epoch (dynamic)."""
    conditional: bool = False
    """Condition encoder and decoder on the class of each picture, in labelled data."""
    corrupt: Annotated[str, BeforeValidator(_corruption)] = "none"
    """Learn to restore what noise has corrupted: gaussian:0.3, salt-pepper:0.1 or mask:0.5."""
    val_fraction: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False)
    """Part of the train split that is held out for the val_* columns; 0 for none."""
    cache_dir: UserPath | None = None
    """Folder in which the decoded pictures of dataset=folder are kept, and read from in later epochs and runs."""
    batch_size: int = Field(128, ge=1, le=LARGEST_COUNT)
    """Pictures per update."""
    seed: Seed = 0
    """Seed of splits, order, weights and noise."""

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
