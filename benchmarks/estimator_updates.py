"""How many updates `VAEEstimator` needs on small tables, which decides its default number of epochs.

For six tables of scikit-learn and several numbers of updates, it prints the mean absolute error of the correlations
of samples, next to that of a multivariate normal distribution fitted to the same rows; the mean score of held-out rows;
and by how much the loss fell from the second to last to the last tenth of training, with its standard error.

    python -m benchmarks.estimator_updates 500 2000 5000
"""

import math
import sys
import time

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split

from vae_tf import VAEEstimator
from vae_tf.support.quiet_tensorflow import load_tensorflow

TABLES = ("iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud")
NUM_SAMPLES = 20_000
BATCH_SIZE = 32


def load_table(name: str) -> np.ndarray:
    """Returns the rows of a table, without columns that are constant."""
    rows = getattr(datasets, f"load_{name}")().data
    return rows[:, rows.std(axis=0) > 0]


def correlation_error(samples: np.ndarray, rows: np.ndarray) -> float:
    """Returns the mean absolute difference of the correlations of samples and of rows."""
    off_diagonal = np.triu_indices(rows.shape[1], 1)
    return float(np.abs(np.corrcoef(samples.T) - np.corrcoef(rows.T))[off_diagonal].mean())


def main(numbers: list[int]) -> None:
    """Prints one line for each table and number of updates."""
    load_tensorflow()
    for name in TABLES:
        rows, held_out = train_test_split(load_table(name), test_size=0.25, random_state=0)
        rng = np.random.default_rng(0)
        normal = rng.multivariate_normal(rows.mean(axis=0), np.cov(rows.T), NUM_SAMPLES)
        print(f"{name} {rows.shape}: normal {correlation_error(normal, rows):.3f}", flush=True)
        for updates in numbers:
            start = time.perf_counter()
            epochs = math.ceil(updates / math.ceil(len(rows) / BATCH_SIZE))
            model = VAEEstimator(batch_size=BATCH_SIZE, epochs=epochs, random_state=0).fit(rows)
            seconds = time.perf_counter() - start
            losses = np.array(model.model_.history.history["loss"])
            tenth = max(1, len(losses) // 10)
            before, last = losses[-2 * tenth : -tenth], losses[-tenth:]
            error = math.sqrt((before.var() + last.var()) / tenth)
            correlations = correlation_error(model.sample(NUM_SAMPLES), rows)
            print(
                f"  {updates} updates, {epochs} epochs: correlations {correlations:.3f}, "
                f"score {model.score(rows):.2f}, held out {model.score(held_out):.2f}, "
                f"fell by {before.mean() - last.mean():.3f} +- {error:.3f}, {seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]])
