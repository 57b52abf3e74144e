"""Image files from a folder or a list as a dataset: how they are split, and which class each has."""

import sys
from pathlib import Path

import numpy as np

from vae_tf.config import DataConfig
from vae_tf.data.catalog import RawSplits, requested_size, required_data_dir
from vae_tf.data.sources.image_cache import cached
from vae_tf.data.sources.images import LARGEST_PIXELS, ImageFileExamples, find_images, opened, read_list
from vae_tf.support.errors import InputError, printable

SIDE, CHANNELS = 64, 3
LIST_SUFFIX = ".txt"
HELD_OUT = ("test", "val")
NO_CLASS = ""


def load_folder(config: DataConfig) -> RawSplits:
    """Loads a tree of image files, or a .txt file that lists them.

    If the tree has both `train/` and `test/` subfolders, they are the splits; if there is no `test/`, `val/` is the
    test split, as in ImageNet. The class of an image is the subfolder of the tree, or of the split, that contains it
    at any depth. In a list it is the name of the image's folder; the list's own folder and hidden folders are not
    classes. The data is labelled if every image has a class and there are at least two classes.
    """
    place = required_data_dir(config, "a folder of pictures, or a .txt file that lists them")
    if place.suffix.lower() == LIST_SUFFIX and not place.is_dir():
        home = place.absolute().parent
        part = _opening(read_list(place), place, config)
        return _raw_splits([part], [[_class_in_list(name, home) for name in part.names]])
    folders = _split_folders(place) or [place]
    parts = [_opening(find_images(folder), folder, config) for folder in folders]
    classes = [
        [_class_in_folder(name, folder) for name in part.names] for part, folder in zip(parts, folders, strict=True)
    ]
    return _raw_splits(parts, classes)


def _split_folders(place: Path) -> list[Path]:
    train = place / "train"
    return next(([train, place / name] for name in HELD_OUT if train.is_dir() and (place / name).is_dir()), [])


def _opening(found: list[str], place: Path, config: DataConfig) -> ImageFileExamples:
    height, width = requested_size(config) or (SIDE, SIDE)
    shape = (height, width, config.channels or CHANNELS)
    examples = opened(found, shape) if config.cache_dir is None else cached(found, shape, Path(config.cache_dir))
    if not len(examples):
        raise InputError(
            f"data_dir must hold pictures that open, of at most {LARGEST_PIXELS:,} pixels. "
            f"Received: {place} (none of {len(found)} files opens)"
        )
    return examples


def _class_in_folder(path: str, folder: Path) -> str:
    below = Path(path).relative_to(folder).parts
    return sys.intern(below[0]) if len(below) > 1 else NO_CLASS


def _class_in_list(path: str, home: Path) -> str:
    folder = Path(path).parent
    return NO_CLASS if folder == home or folder.name.startswith(".") else sys.intern(folder.name)


def _raw_splits(parts: list[ImageFileExamples], classes: list[list[str]]) -> RawSplits:
    """Returns the splits of the files in `parts`, train first; labels number the classes of all parts by name."""
    names = sorted({name for part in classes for name in part})
    numbers = {name: number for number, name in enumerate(names)}
    if len(names) > 1 and NO_CLASS not in names:
        parts = [
            part.with_labels(np.fromiter((numbers[name] for name in of_part), np.int64, len(part)))
            for part, of_part in zip(parts, classes, strict=True)
        ]
    test = parts[1] if len(parts) > 1 else None
    return RawSplits(parts[0], test, None if parts[0].labels is None else tuple(map(printable, names)))
