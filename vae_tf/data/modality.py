"""The kinds of examples: images, and rows of features.

A modality knows the words for its examples and the registry names of what prepares, draws and judges them. No other
code asks whether something is an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vae_tf import registry


@dataclass(frozen=True)
class Modality:
    """A kind of example.

    Attributes:
        noun: What one example is called; also its name in the registry.
        plural: What several are called.
        value: What one number in an example is called.
        features: The word after the number of features, if an example is described by that; otherwise its sides are.
    """

    noun: str
    plural: str
    value: str
    features: str = ""

    def describe(self, example_shape: Sequence[int]) -> str:
        """Returns the shape of an example in words, as `"28x28x1"` or `"2 features"`."""
        sides = "x".join(map(str, example_shape))
        return f"{sides} {self.features}" if self.features else sides

    @property
    def preparation(self) -> Any:
        """The function (batch, example_shape) that brings a batch to the shape of the model, `None` for none."""
        target = registry.PREPARATIONS[self.noun]
        return None if target is None else registry.resolve(target)

    @property
    def figures(self) -> Any:
        """The figures of its examples; see `vae_tf.plots.figures`."""
        return registry.resolve(registry.FIGURES[self.noun])

    @property
    def sample_judge(self) -> Any:
        """The class that scores generated examples; see `vae_tf.metrics`."""
        return registry.resolve(registry.SAMPLE_JUDGES[self.noun])

    @property
    def reconstruction_measures(self) -> Any:
        """The measures of reconstructions by name; see `vae_tf.metrics.reconstruction`."""
        return registry.resolve(registry.RECONSTRUCTION_MEASURES[self.noun])


IMAGE = Modality("image", "images", "pixel value")
ROW = Modality("row", "rows", "data unit", "features")


def modality_of(example_shape: Sequence[int]) -> Modality:
    """Returns the modality of examples `(height, width, channels)` or `(features,)`."""
    return ROW if len(example_shape) == 1 else IMAGE
