"""How close generated rows are to real ones: the sample metric for data that is not images."""

from typing import TYPE_CHECKING

import numpy as np

from vae_tf.data.pipeline import clean, first_images
from vae_tf.metrics.estimate import Estimate, bootstrap_error
from vae_tf.metrics.generation import sliced_wasserstein
from vae_tf.metrics.generators import pca_generators
from vae_tf.metrics.metric import METRICS
from vae_tf.metrics.suite import Scores, Subject, drawn_classes
from vae_tf.support.errors import InputError

if TYPE_CHECKING:
    from vae_tf.data.sources import Examples


class RowSampleMetrics:
    """Compares generated rows with the rows of the split, as many of each.

    Args:
        subject: The run, its model and its data.
        train: The training set, including its validation part.
        features: Must be `"classifier"`, the default; rows need no feature space.

    Raises:
        InputError: `features` names a feature space of images.
    """

    def __init__(self, subject: Subject, train: "Examples", features: str) -> None:
        if features != "classifier":
            raise InputError(f"features={features} needs pictures. Received: dataset={subject.config.dataset}")
        config = clean(subject.config)
        self._subject = subject
        self._real = np.concatenate(list(subject.pictures()))
        self._train_rows = first_images(train, config, train.example_shape, "train", len(train))

    def model_scores(self) -> Scores:
        """Returns the metrics of samples from the model; the rows are drawn from the likelihood."""
        model, seed, count = self._subject.model, self._subject.seed, len(self._real)
        return self._scores(
            model.sample(
                count, seed, drawn_classes(self._subject, count, seed), mean=False, sampler=self._subject.sampler
            )
        )

    def reference_scores(self) -> dict[str, Scores]:
        """Returns the metrics of training rows, the best a model can be expected to reach, and of simple generators."""
        count, seed = len(self._real), self._subject.seed
        generators = pca_generators(self._train_rows, self._real.shape[1], seed, lowest=None, highest=None)
        return {
            "train_rows": self._scores(self._train_rows[:count]),
            **{name.removeprefix("pca_"): self._scores(draw(count, seed)) for name, draw in generators.items()},
        }

    def _scores(self, rows: np.ndarray) -> Scores:
        seed = self._subject.seed

        def distance(real: np.ndarray, generated: np.ndarray) -> float:
            return sliced_wasserstein(real, generated, seed)

        error = bootstrap_error(distance, (self._real, rows), seed)
        unit = METRICS["sliced_wasserstein"].unit
        return {
            "sliced_wasserstein": Estimate(distance(self._real, rows), unit, error, len(self._real), seed, len(rows))
        }
