"""The kinds of examples: images, and rows of features.

A modality defines what its examples are called, and looks up the code that preprocesses, plots and scores them. This is
the only place that distinguishes images from other data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vae_tf import registry


@dataclass(frozen=True)
class Modality:
    """A kind of example.

    Attributes:
        name: What one example is called; also the modality's key in the registry.
        plural: What several examples are called.
        value_name: What one value of an example is called.
        shape_suffix: Suffix after the shape in `describe`, such as `"features"`; may be empty.
    """

    name: str
    plural: str
    value_name: str
    shape_suffix: str = ""

    def describe(self, example_shape: Sequence[int]) -> str:
        """Returns the shape of an example as text, such as `"28x28x1"` or `"2 features"`."""
        shape = "x".join(map(str, example_shape))
        return f"{shape} {self.shape_suffix}" if self.shape_suffix else shape

    @property
    def preprocessor(self) -> Any:
        """The function (batch, example_shape, fit) that converts a batch to that shape; `None` if it is not needed."""
        target = registry.PREPROCESSORS[self.name]
        return None if target is None else registry.resolve(target)

    @property
    def figures(self) -> Any:
        """The figures for this kind of example; see `vae_tf.plots.figures`."""
        return registry.resolve(registry.FIGURES[self.name])

    @property
    def sample_metrics(self) -> Any:
        """The class that scores generated examples; see `vae_tf.metrics`."""
        return registry.resolve(registry.SAMPLE_METRICS[self.name])

    @property
    def reconstruction_metrics(self) -> Any:
        """The functions of the reconstruction metrics, keyed by name; see `vae_tf.metrics.reconstruction`."""
        return registry.resolve(registry.RECONSTRUCTION_METRICS[self.name])


IMAGE = Modality("image", "images", "pixel value")
ROW = Modality("row", "rows", "data unit", "features")


def get_modality(example_shape: Sequence[int]) -> Modality:
    """Returns the modality of examples `(height, width, channels)` or `(features,)`."""
    return ROW if len(example_shape) == 1 else IMAGE
