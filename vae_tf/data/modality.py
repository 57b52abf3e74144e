"""The kinds of examples: images, and rows of features.

A modality knows the words for its examples, and the registry entries of the code that prepares, plots and scores them.
No other code asks whether something is an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vae_tf import registry


@dataclass(frozen=True)
class Modality:
    """A kind of example.

    Attributes:
        noun: The word for one example; also the modality's key in the registry.
        plural: The word for several examples.
        value: The words for one number in an example.
        features: The word that follows the number of features in a description; if empty, the description gives the
            sides alone.
    """

    noun: str
    plural: str
    value: str
    features: str = ""

    def describe(self, example_shape: Sequence[int]) -> str:
        """Returns the shape of an example in words, such as `"28x28x1"` or `"2 features"`."""
        sides = "x".join(map(str, example_shape))
        return f"{sides} {self.features}" if self.features else sides

    @property
    def preparation(self) -> Any:
        """The function (batch, example_shape) that converts a batch to the model's shape, or `None` if not needed."""
        target = registry.PREPARATIONS[self.noun]
        return None if target is None else registry.resolve(target)

    @property
    def figures(self) -> Any:
        """The figures for this kind of example; see `vae_tf.plots.figures`."""
        return registry.resolve(registry.FIGURES[self.noun])

    @property
    def sample_metrics(self) -> Any:
        """The class that scores generated examples; see `vae_tf.metrics`."""
        return registry.resolve(registry.SAMPLE_METRICS[self.noun])

    @property
    def reconstruction_measures(self) -> Any:
        """The measures of reconstruction quality by name; see `vae_tf.metrics.reconstruction`."""
        return registry.resolve(registry.RECONSTRUCTION_MEASURES[self.noun])


IMAGE = Modality("image", "images", "pixel value")
ROW = Modality("row", "rows", "data unit", "features")


def modality_of(example_shape: Sequence[int]) -> Modality:
    """Returns the modality of examples `(height, width, channels)` or `(features,)`."""
    return ROW if len(example_shape) == 1 else IMAGE
