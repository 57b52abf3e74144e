"""What the model and the reports need to know about a dataset."""

from dataclasses import dataclass

from vae_tf.data.modality import Modality, modality_of


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
    def modality(self) -> Modality:
        """The kind of its examples."""
        return modality_of(self.example_shape)
