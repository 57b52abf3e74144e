"""Train on the toy datasets with several seeds, and print how far the samples are from held-out points.

    python benchmarks/toy_sets.py --out runs/toy_sets

Trains only what is not in the folder yet. The distance is the sliced Wasserstein distance between 2,000 samples from
the model and the 2,000 held-out points; the floor is that between 2,000 other points of the data and the held-out
points.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from vae_tf.config import TOY_DEFAULTS, RunConfig
from vae_tf.config.evaluation import EvaluationConfig
from vae_tf.registry import TOY_DATASETS
from vae_tf.report.evaluation import evaluate_run
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.quiet_tensorflow import load_tensorflow
from vae_tf.training.run import run_training

SEEDS = (0, 1, 2)
MODELS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "--conditional": {"conditional": True},
    "--likelihood gaussian --sigma 1": {"likelihood": "gaussian", "sigma": 1.0},
}


def distances(dataset: str, options: dict[str, Any], folder: Path) -> list[tuple[float, float]]:
    """Returns, for each seed, the distance of the model's samples and the floor."""
    results = []
    for seed in SEEDS:
        config = RunConfig(dataset=dataset, seed=seed, **options)
        run = RunDir(folder / str(seed))
        if not run.is_finished:
            run = run_training(config, run.path, overwrite=True)
        if not run.is_evaluated:
            evaluate_run(LoadedRun(run), EvaluationConfig(nll_images=2, nll_samples=1))
        metrics = run.read_metrics()
        rows = (metrics["metrics"], metrics["references"]["train_rows"])
        ours, floor = (row["sliced_wasserstein"]["value"] for row in rows)
        results.append((ours, floor))
    return results


def main() -> None:
    """Trains the missing runs, measures, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/toy_sets"))
    parser.add_argument("--epochs", type=int, default=TOY_DEFAULTS["epochs"])
    arguments = parser.parse_args()
    load_tensorflow()
    lines = []
    for dataset in TOY_DATASETS:
        cells = []
        for number, options in enumerate(MODELS.values()):
            options = {**options, "epochs": arguments.epochs, "sample_every": arguments.epochs}
            ours, floor = np.array(distances(dataset, options, arguments.out / dataset / str(number))).T
            cells.append(f"{ours.mean():.3f} ± {ours.std(ddof=1):.3f}")
        lines.append([dataset, *cells, f"{floor.mean():.3f}"])
    print("| set |", " | ".join(MODELS), "| other points of the data |")
    print("|---" * (len(MODELS) + 2) + "|")
    for line in lines:
        print("|", " | ".join(line), "|")


if __name__ == "__main__":
    main()
