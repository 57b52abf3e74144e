"""Restore corrupted images with trained models and with the usual filters, and print the table.

    python benchmarks/denoising.py --data-dir FOLDER_WITH_FASHION_MNIST_IDX_FILES --out runs/denoising

Trains every corruption with every seed, unless the run is already in the folder. The strength of each filter is the one
that works best on 100 training images. Needs `pip install -e ".[bench]"`.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from skimage import restoration
from skimage.filters import median
from skimage.morphology import footprint_rectangle

from vae_tf.config import RunConfig
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.quiet_tensorflow import load_tensorflow
from vae_tf.training.run import run_training

CORRUPTIONS = ("gaussian:0.3", "salt-pepper:0.1", "mask:0.5")
SEEDS = (0, 1, 2)
NUM_TUNED, NUM_JUDGED = 100, 1_000

Filter = Callable[[np.ndarray], np.ndarray]
# Each kind of filter in several strengths.
FILTERS: dict[str, list[Filter]] = {
    "total variation": [partial(restoration.denoise_tv_chambolle, weight=w) for w in (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)],
    "non-local means": [
        partial(restoration.denoise_nl_means, patch_size=size, patch_distance=6, h=h, fast_mode=True)
        for size in (3, 5)
        for h in (0.05, 0.1, 0.2, 0.3, 0.5)
    ],
    "median": [partial(median, footprint=footprint_rectangle((size, size))) for size in (3, 5)],
}


def observed(config: RunConfig, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first images of a split, corrupted and clean `(N, H, W, C)`."""
    from vae_tf.data.loading import load_splits
    from vae_tf.data.pipeline import first_batch

    splits = load_splits(config)
    part = splits.test if split == "test" else splits.train
    corrupted, clean = first_batch(part, config, splits.spec.example_shape, "test", count)
    return corrupted, clean


def filtered(apply: Filter, images: np.ndarray) -> np.ndarray:
    """Returns greyscale images `(N, H, W, 1)`, each one filtered."""
    return np.stack([apply(image[..., 0])[..., np.newaxis] for image in images])


def main() -> None:
    """Trains the missing runs, restores the images, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/denoising"))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--arch", default="dense")
    options = parser.parse_args()
    load_tensorflow()

    from vae_tf.metrics.reconstruction import psnr

    def mean_psnr(clean: np.ndarray, restored: np.ndarray) -> float:
        return float(psnr(clean, restored).mean())

    lines = []
    for corruption in CORRUPTIONS:
        scores = []
        for seed in SEEDS:
            config = RunConfig(
                dataset="fashion_mnist" if options.data_dir else "fashion_mnist_sample",
                data_dir=options.data_dir,
                arch=options.arch,
                corrupt=corruption,
                epochs=options.epochs,
                sample_every=options.epochs,
                seed=seed,
            )
            run = RunDir(options.out / f"{options.arch}-{corruption.replace(':', '-')}-seed{seed}")
            if not run.is_finished:
                run = run_training(config, run.path, overwrite=True)
            corrupted, clean = observed(config, "test", NUM_JUDGED)
            scores.append(mean_psnr(clean, run.load_model().reconstruct(corrupted)))
        before = mean_psnr(clean, corrupted)
        dirty, wanted = observed(config, "train", NUM_TUNED)
        peers = {}
        for name, family in FILTERS.items():
            best = max(family, key=lambda apply: mean_psnr(wanted, filtered(apply, dirty)))
            peers[name] = mean_psnr(clean, filtered(best, corrupted))
        told = [f"{np.mean(scores):.2f} ± {np.std(scores, ddof=1):.2f}", *(f"{value:.2f}" for value in peers.values())]
        lines.append([corruption, f"{before:.2f}", *told, f"{np.mean(scores) - before:+.2f}"])
    print("| corruption | corrupted | vae_tf |", " | ".join(FILTERS), "| gain |")
    print("|---" * (len(FILTERS) + 4) + "|")
    for line in lines:
        print("|", " | ".join(line), "|")


if __name__ == "__main__":
    main()
