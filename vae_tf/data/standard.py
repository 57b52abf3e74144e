"""Standard datasets, which are read from files, downloaded or generated."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vae_tf.config import DataConfig
from vae_tf.data.array_files import splits_from_arrays, splits_from_npz
from vae_tf.data.loading import NativeSplits
from vae_tf.data.sources.arrays import ArraySource
from vae_tf.data.sources.idx import read_idx
from vae_tf.data.sources.on_disk import Array
from vae_tf.data.sources.stl10 import extract_archive, find_folder, read_folds, read_images, read_split
from vae_tf.data.sources.toy import generate_points
from vae_tf.support.errors import InputError
from vae_tf.support.quiet_tensorflow import load_tensorflow
from vae_tf.support.redaction import redact

IDX_STEMS = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
STANDARD_SHAPES = {"fashion_mnist": (28, 28, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MNIST_SHA256 = {
    "x_train": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "y_train": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "x_test": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "y_test": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
STL10_ARCHIVE = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
STL10_MD5 = "91f7769df0f17e558f3565bffb0c7dfb"
TOY_SIZES = (10_000, 2_000)
TOY_SEEDS = (0, 1)


def load_fashion_mnist(config: DataConfig) -> NativeSplits:
    """Loads Fashion-MNIST (Xiao et al. 2017, MIT): 60,000 + 10,000 images, 28x28x1, ten classes."""
    return _load_standard("fashion_mnist", config)


def load_mnist(config: DataConfig) -> NativeSplits:
    """Loads MNIST (LeCun et al. 1998): 60,000 + 10,000 images, 28x28x1, ten classes."""
    return _load_standard("mnist", config)


def load_cifar10(config: DataConfig) -> NativeSplits:
    """Loads CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 images, 32x32x3, ten classes."""
    return _load_standard("cifar10", config)


def _load_standard(name: str, config: DataConfig) -> NativeSplits:
    """Loads a standard dataset from `data_dir`, or downloads it if `data_dir` is not set."""
    if config.data_dir is None:
        return splits_from_arrays(_download(name), f"{name}: ")
    path = Path(config.data_dir)
    splits = _read_standard(name, path)
    if splits.train.example_shape != STANDARD_SHAPES[name]:
        raise InputError(
            f"data_dir must contain the images of {name}, of shape {STANDARD_SHAPES[name]}. Received: {path}, with "
            f"images of shape {splits.train.example_shape}; for other data choose --dataset npz or folder"
        )
    return splits


def _read_standard(name: str, path: Path) -> NativeSplits:
    if path.is_file():
        return splits_from_npz(path)
    if not path.is_dir():
        raise InputError(f"data_dir must be a folder with the files of {name}. Received: {path} (no such folder)")
    idx = {key: _find_file(path, stem, f"{stem}.gz") for key, stem in IDX_STEMS.items()}
    if idx["x_train"] and idx["x_test"]:
        arrays = {key: _read_idx(key, file) for key, file in idx.items() if file}
        return splits_from_arrays(arrays, f"{path}: ")
    npz = _find_file(path, f"{name}.npz")
    if npz is None:
        raise InputError(
            f"data_dir must contain {IDX_STEMS['x_train']} and {IDX_STEMS['x_test']} (or .gz), or {name}.npz. "
            f"Received: {path}, which contains neither"
        )
    return splits_from_npz(npz)


def _find_file(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _download(name: str) -> dict[str, Array]:
    """Downloads the arrays of a dataset, and verifies the hash of every file before reading it."""
    load_tensorflow()  # only downloads need Keras, which imports TensorFlow

    import keras

    with _report_download_errors(name):
        if name == "fashion_mnist":  # keras.datasets does not verify the hashes of this dataset
            files = {
                key: keras.utils.get_file(
                    origin=f"{FASHION_MNIST_URL}{IDX_STEMS[key]}.gz",
                    file_hash=sha256,
                    cache_subdir="datasets/fashion-mnist",
                )
                for key, sha256 in FASHION_MNIST_SHA256.items()
            }
            return {key: _read_idx(key, Path(file)) for key, file in files.items()}
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _read_idx(key: str, path: Path) -> Array:
    return read_idx(path, 3 if key.startswith("x") else 1)


@contextlib.contextmanager
def _report_download_errors(name: str) -> Iterator[None]:
    """Turns every error in its body into an `InputError` with a one-line message."""
    try:
        yield
    except Exception as error:  # keras raises a bare Exception if a download fails
        reason = " ".join(redact(str(error)).split())[:160]
        raise InputError(
            f"{name} could not be downloaded ({reason}); download it yourself and pass its folder with --data-dir"
        ) from None


def load_stl10(config: DataConfig) -> NativeSplits:
    """Loads STL-10 (Coates et al. 2011): 5,000 + 8,000 images, 96x96x3, ten classes."""
    return _load_stl10("train", config)


def load_stl10_unlabeled(config: DataConfig) -> NativeSplits:
    """Loads STL-10 with its 100,000 unlabelled images as the train split; the test split is labelled."""
    return _load_stl10("unlabeled", config)


def _load_stl10(split: str, config: DataConfig) -> NativeSplits:
    folder = _get_stl10_folder(config)
    return NativeSplits(read_split(folder, split), read_split(folder, "test"))


def load_official_folds(config: DataConfig) -> list[np.ndarray] | None:
    """Loads the training folds of a dataset's official protocol, which trains one classifier per fold.

    Returns:
        For `stl10`, ten int64 arrays `(1000,)` of indices into the train split with `val_fraction=0`. `None` for other
        datasets, and if `fold_indices.txt` is not in the folder of the images.

    Raises:
        InputError: The data is missing or damaged.
    """
    if config.dataset != "stl10":
        return None
    folder = _get_stl10_folder(config)
    path = folder / "fold_indices.txt"
    return read_folds(path, len(read_images(folder / "train_X.bin"))) if path.is_file() else None


def _get_stl10_folder(config: DataConfig) -> Path:
    return _download_stl10() if config.data_dir is None else find_folder(Path(config.data_dir))


def _download_stl10() -> Path:
    load_tensorflow()

    import keras

    with _report_download_errors("stl10"):
        archive = keras.utils.get_file(origin=STL10_ARCHIVE, file_hash=STL10_MD5, hash_algorithm="md5")
        return extract_archive(Path(archive))


def load_moons(config: DataConfig) -> NativeSplits:
    """Generates two interlocking half circles: 10,000 + 2,000 points, two classes."""
    return _load_toy(config)


def load_circles(config: DataConfig) -> NativeSplits:
    """Generates a circle inside a circle: 10,000 + 2,000 points, two classes."""
    return _load_toy(config)


def load_blobs(config: DataConfig) -> NativeSplits:
    """Generates three round clusters: 10,000 + 2,000 points, three classes."""
    return _load_toy(config)


def _load_toy(config: DataConfig) -> NativeSplits:
    splits = [generate_points(config.dataset, size, seed) for size, seed in zip(TOY_SIZES, TOY_SEEDS, strict=True)]
    train, test = (ArraySource(points, classes, 1.0) for points, classes in splits)
    return NativeSplits(train, test)
