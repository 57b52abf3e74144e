"""Loads image files from a folder or a list as a dataset: finds their splits and their classes."""

import sys
from pathlib import Path

import numpy as np

from vae_tf.config import DataConfig
from vae_tf.data.loading import NativeSplits, parse_image_size, require_data_dir
from vae_tf.data.sources.image_files import ImageFileSource, describe, open_images, warn_about_skipped
from vae_tf.data.sources.image_paths import find_images, read_list
from vae_tf.support.errors import InputError, escape_unprintable

DEFAULT_IMAGE_SIZE, DEFAULT_CHANNELS = 64, 3
LIST_SUFFIX = ".txt"
TEST_FOLDERS = ("test", "val")
NO_CLASS = ""


def load_folder(config: DataConfig) -> NativeSplits:
    """Loads a tree of image files, or a .txt file that lists them.

    If the tree has both `train/` and `test/` subfolders, they are the splits; if it has no `test/`, `val/` is the test
    split, as in ImageNet. The class of an image is the top-level subfolder of the tree, or of the split, that contains
    it at any depth. In a list, the class is the name of the image's folder; the list's own folder and hidden folders
    are not classes. The data is labelled if every image has a class and there are at least two classes.
    """
    path = require_data_dir(config, "a folder of images, or to a .txt file that lists them")
    if path.suffix.lower() == LIST_SUFFIX and not path.is_dir():
        base_dir = path.absolute().parent
        examples = _open_examples(read_list(path), path, config)
        return _make_native_splits([examples], [[_find_class_in_list(name, base_dir) for name in examples.names]])
    folders = _find_split_folders(path) or [path]
    splits = [_open_examples(find_images(folder), folder, config) for folder in folders]
    classes = [
        [_find_class_in_folder(name, folder) for name in split.names]
        for split, folder in zip(splits, folders, strict=True)
    ]
    return _make_native_splits(splits, classes)


def _find_split_folders(path: Path) -> list[Path]:
    train = path / "train"
    return next(([train, path / name] for name in TEST_FOLDERS if train.is_dir() and (path / name).is_dir()), [])


def _open_examples(files: list[str], path: Path, config: DataConfig) -> ImageFileSource:
    height, width = parse_image_size(config) or (DEFAULT_IMAGE_SIZE, DEFAULT_IMAGE_SIZE)
    shape = (height, width, config.channels or DEFAULT_CHANNELS)
    cache_dir = None if config.cache_dir is None else Path(config.cache_dir)
    examples = open_images(files, shape, config.image_fit, cache_dir)
    if not len(examples):
        raise InputError(
            f"data_dir must contain readable images. Received: {path} (none of {len(files)} files could be read; the "
            f"first is {describe(examples.skipped[0])})"
        )
    return examples


def _find_class_in_folder(path: str, folder: Path) -> str:
    relative = Path(path).relative_to(folder).parts
    return sys.intern(relative[0]) if len(relative) > 1 else NO_CLASS


def _find_class_in_list(path: str, base_dir: Path) -> str:
    folder = Path(path).parent
    return NO_CLASS if folder == base_dir or folder.name.startswith(".") else sys.intern(folder.name)


def _make_native_splits(splits: list[ImageFileSource], classes: list[list[str]]) -> NativeSplits:
    """Returns `splits`, train first, labelled if there are classes; labels are indices into the sorted class names.

    Prints one warning about the files of all splits that can't be read.
    """
    skipped = [file for split in splits for file in split.skipped]
    warn_about_skipped(skipped, len(skipped) + sum(map(len, splits)))
    names = sorted({name for split_classes in classes for name in split_classes})
    class_indices = {name: index for index, name in enumerate(names)}
    if len(names) > 1 and NO_CLASS not in names:
        splits = [
            split.with_labels(np.fromiter((class_indices[name] for name in split_classes), np.int64, len(split)))
            for split, split_classes in zip(splits, classes, strict=True)
        ]
    test = splits[1] if len(splits) > 1 else None
    class_names = None if splits[0].labels is None else tuple(map(escape_unprintable, names))
    return NativeSplits(splits[0], test, class_names, skipped)
