"""Picture files as a dataset: which a folder or a list names, how they are split, and which class each has."""

from pathlib import Path

import numpy as np

from vae_tf.config import DataConfig
from vae_tf.data.catalog import RawSplits, requested_size, required_data_dir
from vae_tf.data.sources.pictures import PictureExamples, find_pictures, read_list, readable
from vae_tf.errors import InputError

SIDE, CHANNELS = 64, 3
LIST_SUFFIX = ".txt"
HELD_OUT = ("test", "val")
NO_CLASS = ""


def load_folder(config: DataConfig) -> RawSplits:
    """A tree of picture files, or a .txt file that lists them.

    The `train/` and `test/` subfolders of a tree are the splits where both exist; without a `test/`, a `val/` is
    the test split, as in ImageNet. The class of a picture is the
    subfolder, of the tree or of the split, in which it lies at any depth. In a list it is the name of the folder
    that holds the picture; the list's own folder and hidden ones are none. There are labels where every picture
    has a class and there are at least two.
    """
    place = required_data_dir(config, "a folder of pictures, or a .txt file that lists them")
    height, width = requested_size(config) or (SIDE, SIDE)
    example_shape = (height, width, config.channels or CHANNELS)
    if place.suffix.lower() == LIST_SUFFIX and not place.is_dir():
        paths = _opening(read_list(place), place, example_shape)
        home = place.absolute().parent
        return _raw_splits([paths], [[_class_in_list(path, home) for path in paths]], example_shape)
    folders = _split_folders(place) or [place]
    parts = [_opening(find_pictures(folder), folder, example_shape) for folder in folders]
    classes = [[_class_in_folder(path, folder) for path in paths] for paths, folder in zip(parts, folders, strict=True)]
    return _raw_splits(parts, classes, example_shape)


def _split_folders(place: Path) -> list[Path]:
    train = place / "train"
    return next(([train, place / name] for name in HELD_OUT if train.is_dir() and (place / name).is_dir()), [])


def _opening(found: list[Path], place: Path, example_shape: tuple[int, int, int]) -> list[Path]:
    good = readable(found, example_shape)
    if not good:
        raise InputError(f"data_dir must hold pictures that open. Received: {place} (none of {len(found)} files opens)")
    return good


def _class_in_folder(path: Path, folder: Path) -> str:
    below = path.relative_to(folder).parts
    return below[0] if len(below) > 1 else NO_CLASS


def _class_in_list(path: Path, home: Path) -> str:
    folder = path.parent
    return NO_CLASS if folder == home or folder.name.startswith(".") else folder.name


def _raw_splits(parts: list[list[Path]], classes: list[list[str]], example_shape: tuple[int, int, int]) -> RawSplits:
    """The splits of the files in `parts`, train first; labels number the classes of all parts by name."""
    names = sorted({name for part in classes for name in part})
    labelled = len(names) > 1 and NO_CLASS not in names
    examples = [
        PictureExamples(paths, example_shape, np.searchsorted(names, part) if labelled else None)
        for paths, part in zip(parts, classes, strict=True)
    ]
    test = examples[1] if len(examples) > 1 else None
    return RawSplits(examples[0], test, tuple(names) if labelled else None)
