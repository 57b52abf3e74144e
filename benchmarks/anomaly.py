"""Measure how well anomaly scores detect data that a model was not trained on, compared with other scores.

    python benchmarks/anomaly.py --fashion-mnist FOLDER_WITH_IDX_FILES --mnist FOLDER_WITH_IDX_FILES

Dense networks with batch normalization are trained on one of the datasets, or on all but one class of it; the anomalies
are the other dataset, or that class. Each area under the ROC curve is printed as soon as it is known, and the tables at
the end.
"""

import argparse
import io
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

TRAIN = 30_000
IMAGES = 2_000
OF_CLASS = 1_000  # no class has more test images
REFERENCE = 5_000
BATCH = 128


class Case(NamedTuple):
    """A training set, test images like it, and anomalies; all `(N, 28, 28, 1)` in [0, 1]."""

    name: str
    train: np.ndarray
    normal: np.ndarray
    anomalous: np.ndarray


class Measured(NamedTuple):
    """The ELBO terms and the bias correction of each image, in nats `(N,)`, and its posterior mean `(N, Z)`."""

    reconstruction_loss: np.ndarray
    kl_loss: np.ndarray
    peak: np.ndarray
    means: np.ndarray

    @property
    def negative_elbo(self) -> np.ndarray:
        """Minus the ELBO, nats `(N,)`."""
        return self.reconstruction_loss + self.kl_loss


def cases(data: dict[str, Any], classes: list[int]) -> Iterator[Case]:
    """Yields the two pairs of datasets, then each dataset with each of some classes held out."""
    for name, other in itertools.permutations(data):
        (train, _), (test, _) = data[name]
        yield Case(f"{name} -> {other}", train[:TRAIN], test[:IMAGES], data[other][1][0][:IMAGES])
    for (name, ((train, labels), (test, test_labels))), held_out in itertools.product(data.items(), classes):
        others = test[test_labels != held_out][:OF_CLASS]
        anomalous = test[test_labels == held_out][:OF_CLASS]
        yield Case(f"{name} without {held_out}", train[labels != held_out][:TRAIN], others, anomalous)


def trained(images: np.ndarray, epochs: int, seed: int) -> Any:
    """Returns a VAE trained on images."""
    import keras

    from vae_tf.model import build_vae

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    vae = build_vae((28, 28, 1), 128, "dense", "bn", seed=seed)
    vae.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    vae.fit(images, batch_size=BATCH, epochs=epochs, verbose=0)
    return vae


def in_batches(images: np.ndarray) -> list[np.ndarray]:
    """Returns the images in batches, as the scores take them."""
    return [images[start : start + BATCH] for start in range(0, len(images), BATCH)]


def measured(vae: Any, images: np.ndarray, seed: int) -> Measured:
    """Returns what the other scores are computed from."""
    from vae_tf.metrics.elbo import elbo_per_image

    terms = elbo_per_image(vae, in_batches(images), seed)
    peak = np.concatenate([vae.likelihood.max_log_prob(batch) for batch in in_batches(images)])
    return Measured(terms.reconstruction_loss, terms.kl_loss, peak, vae.encode(images, batch_size=BATCH))


def png_bits(image: np.ndarray) -> int:
    """Returns the size of a grey image `(H, W, 1)` as a PNG file, in bits."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.rint(255 * image[..., 0]).astype(np.uint8)).save(file, "png", optimize=True)
    return 8 * len(file.getvalue())


def alternatives(of: Measured, reference: Measured) -> dict[str, np.ndarray]:
    """Returns the scores that need only the ELBO terms and the posterior means."""
    from sklearn.covariance import EmpiricalCovariance

    def distance(*names: str) -> np.ndarray:
        rows, known = (np.stack([getattr(m, name) for name in names], axis=1) for m in (of, reference))
        return np.asarray(EmpiricalCovariance().fit(known).mahalanobis(rows))

    return {
        "minus ELBO": of.negative_elbo,
        "reconstruction loss": of.reconstruction_loss,
        "bias corrected": of.negative_elbo + of.peak,
        "typicality": np.abs(of.negative_elbo - reference.negative_elbo.mean()),
        "distance, two terms": distance("reconstruction_loss", "kl_loss"),
        "distance, three terms": distance("reconstruction_loss", "kl_loss", "peak"),
        "distance, posterior means": EmpiricalCovariance().fit(reference.means).mahalanobis(of.means),
    }


def isolation_forest(case: Case, seed: int) -> np.ndarray:
    """Returns scikit-learn's score on pixels, of the normal images and then of the anomalous ones."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(random_state=seed).fit(case.train.reshape(len(case.train), -1))
    both = np.concatenate([case.normal, case.anomalous])
    return -forest.score_samples(both.reshape(len(both), -1))


def areas(case: Case, epochs: int, seed: int) -> dict[str, float]:
    """Returns the area under the ROC curve of each score."""
    from sklearn.metrics import roc_auc_score

    from vae_tf.metrics.anomaly import likelihood_regret, mahalanobis

    vae = trained(case.train, epochs, seed)
    both = np.concatenate([case.normal, case.anomalous])
    reference = measured(vae, case.train[:REFERENCE], seed)
    here = measured(vae, both, seed)
    scores = alternatives(here, reference)
    scores["input complexity"] = here.negative_elbo / np.log(2) - np.array([png_bits(image) for image in both])
    batches, known = in_batches(both), in_batches(case.train[:REFERENCE])
    scores["mahalanobis"] = mahalanobis(vae, batches, known, seed)
    scores["likelihood regret"] = likelihood_regret(vae, batches, known, seed)
    scores["isolation forest on pixels"] = isolation_forest(case, seed)
    is_anomaly = np.arange(len(both)) >= len(case.normal)
    return {name: float(roc_auc_score(is_anomaly, score)) for name, score in scores.items()}


Results = dict[str, list[dict[str, float]]]
"""The area of each score, for each seed of each case."""


def print_table(results: Results) -> None:
    """Prints mean and standard deviation over the seeds in Markdown: a row per score, a column per case."""
    print("\n| | " + " | ".join(results) + " |\n|" + "---|" * (len(results) + 1))
    for score in next(iter(results.values()))[0]:
        values = [np.array([row[score] for row in rows]) for rows in results.values()]
        print(f"| {score} | " + " | ".join(f"{v.mean():.3f} ± {v.std(ddof=1):.3f}" for v in values) + " |")


def mean_of(results: Results) -> list[dict[str, float]]:
    """Returns the mean over the cases, for each seed."""
    of_seeds = zip(*results.values(), strict=True)
    return [{score: float(np.mean([row[score] for row in rows])) for score in rows[0]} for rows in of_seeds]


def main() -> None:
    """Runs all cases and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fashion-mnist", required=True, help="folder with its IDX files")
    parser.add_argument("--mnist", required=True, help="folder with its IDX files")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at least two")
    parser.add_argument("--classes", type=int, nargs="+", default=list(range(10)), help="those to hold out in turn")
    options = parser.parse_args()
    from vae_tf.data.loading import load_arrays
    from vae_tf.support.quiet_tensorflow import load_tensorflow

    load_tensorflow()
    data = {name: load_arrays(name, getattr(options, name)) for name in ("fashion_mnist", "mnist")}
    results: Results = defaultdict(list)
    for case, seed in itertools.product(cases(data, options.classes), options.seeds):
        row = areas(case, options.epochs, seed)
        results[case.name].append(row)
        print(f"{case.name}, seed {seed}:", ", ".join(f"{key} {area:.3f}" for key, area in row.items()), flush=True)
    held_out = {name: {c: rows for c, rows in results.items() if c.startswith(f"{name} without")} for name in data}
    pairs = {case: rows for case, rows in results.items() if "->" in case}
    print_table(
        {**pairs, **{f"{name}, one class held out": mean_of(of_classes) for name, of_classes in held_out.items()}}
    )
    for of_classes in held_out.values():
        print_table(of_classes)


if __name__ == "__main__":
    main()
