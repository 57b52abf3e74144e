"""The facts about a dataset that the model and the reports need."""

from dataclasses import dataclass

from vae_tf.data.modality import Modality, modality_of


@dataclass(frozen=True)
class DatasetSpec:
    """The name, shape, size and classes of a dataset.

    Attributes:
        name: The name in the registry.
        example_shape: Shape that the pipeline delivers, `(height, width, channels)` or `(features,)`.
        num_train, num_val, num_test: Number of examples in each split.
        num_classes: Number of classes, or `None` if no split is labelled.
        class_names: Names of the folders that define the classes, in the order of the labels; otherwise `None`.
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
        """The modality of the examples."""
        return modality_of(self.example_shape)
