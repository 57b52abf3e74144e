"""What the model and the reports need to know about a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSpec:
    """What the model and the reports need to know of a dataset.

    Attributes:
        name: The name in the registry.
        example_shape: What the pipeline delivers: pictures `(height, width, channels)`, or rows `(features,)`.
        num_train, num_val, num_test: Examples in each split.
        num_classes: Number of classes, or `None` where no split is labelled.
        class_names: The folders that gave the classes, in the order of the labels; else `None`.
    """

    name: str
    example_shape: tuple[int, ...]
    num_train: int
    num_val: int
    num_test: int
    num_classes: int | None
    class_names: tuple[str, ...] | None = None

    @property
    def noun(self) -> str:
        """What an example is: `"image"` or `"row"`."""
        return "image" if len(self.example_shape) > 1 else "row"


def examples_noun(example_shape: Sequence[int]) -> str:
    """Returns what to call several examples of a shape: `"pictures"` or `"rows"`."""
    return "pictures" if len(example_shape) > 1 else "rows"
