"""Creates the subset of Fashion-MNIST that is bundled with the package.

    python scripts/make_bundled_sample.py --data-dir FOLDER_WITH_IDX_FILES

Without `--data-dir`, it downloads the full dataset through `keras.datasets`. The subset is balanced over the classes
and depends only on SEED, so the file can be reproduced exactly.
"""

import argparse
import zipfile
from pathlib import Path

import numpy as np

from vae_tf.config import DataConfig
from vae_tf.data.loading import load_splits

SEED = 20171
TRAIN_PER_CLASS, TEST_PER_CLASS = 1000, 250
TARGET = Path(__file__).parent.parent / "vae_tf" / "data" / "bundled" / "fashion_mnist_sample.npz"


def draw_balanced_indices(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the indices of `per_class` examples of every class, in the order of the full dataset."""
    indices = [rng.choice(np.flatnonzero(labels == c), per_class, replace=False) for c in np.unique(labels)]
    return np.sort(np.concatenate(indices))


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Like `numpy.savez_compressed`, but with the highest compression level and fixed timestamps."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder with the four IDX files; default: download")
    options = parser.parse_args()
    splits = load_splits(DataConfig(dataset="fashion_mnist", data_dir=options.data_dir, val_fraction=0))
    rng = np.random.default_rng(SEED)
    arrays = {}
    for split, examples, per_class in (
        ("train", splits.train, TRAIN_PER_CLASS),
        ("test", splits.test, TEST_PER_CLASS),
    ):
        labels = np.asarray(examples.labels)
        indices = draw_balanced_indices(labels, per_class, rng)
        arrays[f"x_{split}"] = examples.read(indices)[..., 0]
        arrays[f"y_{split}"] = labels[indices].astype(np.uint8)
    write_npz(TARGET, arrays)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
