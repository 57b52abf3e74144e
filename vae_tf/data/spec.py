"""Dataset metadata used by the model and the reports."""

from dataclasses import dataclass

from vae_tf.data.modality import Modality, get_modality


@dataclass(frozen=True)
class DatasetSpec:
    """The name, shape, size and classes of a dataset.

    Attributes:
        name: Name in the registry.
        example_shape: Shape of an example in a batch, `(height, width, channels)` or `(features,)`.
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
        return get_modality(self.example_shape)
