"""The sample metric for rows: the distance between generated and real rows."""

from typing import TYPE_CHECKING

import numpy as np

from vae_tf.data.pipeline import first_examples, without_corruption_and_conditioning
from vae_tf.metrics.baselines import pca_generators
from vae_tf.metrics.estimate import Estimate, bootstrap_error
from vae_tf.metrics.generation import sliced_wasserstein
from vae_tf.metrics.metric import METRICS
from vae_tf.metrics.suite import Estimates, EvaluationContext, sample_labels
from vae_tf.support.errors import InputError

if TYPE_CHECKING:
    from vae_tf.data.sources import ExampleSource


class RowSampleMetrics:
    """Compares generated rows with an equal number of rows of the split.

    Args:
        context: The run, its model and its data.
        train: The training and validation splits together.
        features: Must be `"classifier"`, the default; rows need no feature space.

    Raises:
        InputError: `features` is a feature space for images.
    """

    def __init__(self, context: EvaluationContext, train: "ExampleSource", features: str) -> None:
        if features != "classifier":
            raise InputError(
                f"features={features} applies only to images. Received: dataset={context.config.dataset}; "
                "omit --features"
            )
        config = without_corruption_and_conditioning(context.config)
        self._context = context
        self._real = np.concatenate(list(context.images()))
        self._train_rows = first_examples(train, config, train.example_shape, "train", len(train))

    def model_metrics(self) -> Estimates:
        """Returns the metrics of samples from the model, including the observation noise of the likelihood."""
        model, seed, count = self._context.model, self._context.seed, len(self._real)
        return self._metrics(
            model.sample(
                count, seed, sample_labels(self._context, count, seed), mean=False, sampler=self._context.sampler
            )
        )

    def reference_metrics(self) -> dict[str, Estimates]:
        """Returns the metrics of training rows, the best a model can be expected to reach, and of the baselines."""
        count, seed = len(self._real), self._context.seed
        baselines = pca_generators(self._train_rows, self._real.shape[1], seed, clip_min=None, clip_max=None)
        return {
            "train_rows": self._metrics(self._train_rows[:count]),
            **{name.removeprefix("pca_"): self._metrics(generate(count, seed)) for name, generate in baselines.items()},
        }

    def _metrics(self, rows: np.ndarray) -> Estimates:
        seed = self._context.seed

        def distance(real: np.ndarray, generated: np.ndarray) -> float:
            return sliced_wasserstein(real, generated, seed)

        error = bootstrap_error(distance, (self._real, rows), seed)
        unit = METRICS["sliced_wasserstein"].unit
        return {
            "sliced_wasserstein": Estimate(distance(self._real, rows), unit, error, len(self._real), seed, len(rows))
        }
