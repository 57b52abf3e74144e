"""One interface to the figures of each modality: grids of images, or scatter plots of points."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.figure import Figure

from vae_tf.plots.images import image_grid, image_rows, rows_with_headings, rows_with_side_labels, side_by_side
from vae_tf.plots.points import Points, point_panels

if TYPE_CHECKING:
    from vae_tf.model.batch import Batch
    from vae_tf.model.vae import VAE

NUM_SAMPLES, COLUMNS = 64, 8
MAX_CLASSES = 16
NUM_RECONSTRUCTIONS = 10
NUM_POINTS = 2_000
NUM_POINTS_PER_CLASS = 500


class Figures(Protocol):
    """The figures of a modality.

    Attributes:
        num_samples: Number of samples in a figure.
        num_samples_per_class: Number of samples per class in a figure of all classes.
        num_reconstructions: Number of examples in a figure of reconstructions.
        shows_single_examples: Whether a figure shows each example by itself. A sample is then the mean of its
            likelihood instead of a draw from it.
        shows_traversals: Whether the modality has figures of latent traversals.
    """

    num_samples: int
    num_samples_per_class: int
    num_reconstructions: int
    shows_single_examples: bool
    shows_traversals: bool

    def epoch_figures(
        self, model: "VAE", batch: "Batch", classes: np.ndarray | None, seed: int, title_suffix: str
    ) -> dict[str, Figure]:
        """Returns the figures saved during training, under the keys `"samples"` and `"reconstructions"`.

        Args:
            model: The model.
            batch: Test examples as one batch of arrays.
            classes: Class of each example `(N,)`, even if the model is unconditional; `None` for unlabelled data.
            seed: Random seed for the samples.
            title_suffix: Suffix of the titles, such as `", epoch 3"`.
        """
        ...

    def samples(self, samples: np.ndarray, classes: np.ndarray | None, title: str) -> Figure:
        """Returns a figure of samples with classes `(N,)`."""
        ...

    def samples_by_class(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str], title: str) -> Figure:
        """Returns a figure of samples with the same number of samples per class, in the order of `names`."""
        ...

    def reconstructions(self, batch: "Batch", reconstructed: np.ndarray, title_suffix: str = "") -> Figure:
        """Returns a figure of examples and their reconstructions, with the model's inputs if they differ."""
        ...

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns a figure of decoded paths through the latent space `(N, S, ...)`."""
        ...

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns a figure with several sets of examples next to each other, each below its title."""
        ...

    def rows_with_headings(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns a figure with a row of examples below each heading."""
        ...


class ImageFigures:
    """Figures of images `(N, H, W, C)`; see `Figures`."""

    num_samples = NUM_SAMPLES
    num_samples_per_class = COLUMNS
    num_reconstructions = NUM_RECONSTRUCTIONS
    shows_single_examples = True
    shows_traversals = True

    def epoch_figures(
        self, model: "VAE", batch: "Batch", classes: np.ndarray | None, seed: int, title_suffix: str
    ) -> dict[str, Figure]:
        """Returns prior samples and reconstructions; for a conditional model, a row of samples per class."""
        reconstructed = model.reconstruct(batch.inputs, batch.labels)
        return {
            "samples": self._epoch_samples(model, seed, title_suffix),
            "reconstructions": self.reconstructions(batch, reconstructed, title_suffix),
        }

    def _epoch_samples(self, model: "VAE", seed: int, title_suffix: str) -> Figure:
        if model.num_classes is None:
            return image_grid(model.sample(NUM_SAMPLES, seed), COLUMNS, f"Prior samples{title_suffix}")
        classes = np.arange(min(model.num_classes, MAX_CLASSES))
        samples = model.sample(len(classes) * COLUMNS, seed, np.repeat(classes, COLUMNS))
        rows = samples.reshape(len(classes), COLUMNS, *samples.shape[1:])
        return rows_with_side_labels(
            dict(zip(map(str, classes), rows, strict=True)), f"Prior samples of each class{title_suffix}"
        )

    def samples(self, samples: np.ndarray, classes: np.ndarray | None, title: str) -> Figure:
        """Returns a grid of samples."""
        return image_grid(samples, min(COLUMNS, len(samples)), title)

    def samples_by_class(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str], title: str) -> Figure:
        """Returns a row of samples for each class."""
        rows = samples.reshape(len(names), -1, *samples.shape[1:])
        return rows_with_side_labels(dict(zip(names, rows, strict=True)), f"{title}, one row for each class")

    def reconstructions(self, batch: "Batch", reconstructed: np.ndarray, title_suffix: str = "") -> Figure:
        """Returns originals above reconstructions; if denoising: inputs, reconstructions, originals."""
        if batch.inputs is batch.target:
            return image_rows([batch.target, reconstructed], f"Originals above, reconstructions below{title_suffix}")
        return image_rows([batch.inputs, reconstructed, batch.target], f"Corrupted, denoised, original{title_suffix}")

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns one row per path."""
        flat = paths.reshape(-1, *paths.shape[2:])
        return image_grid(flat, paths.shape[1], "Latent interpolations, from left to right")

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns grids of images next to each other."""
        return side_by_side(panels, columns)

    def rows_with_headings(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns a row of images below each heading."""
        return rows_with_headings(rows)


class PointFigures:
    """Figures of the first two features of rows `(N, F)`; see `Figures`."""

    num_samples = NUM_POINTS
    num_samples_per_class = NUM_POINTS_PER_CLASS
    num_reconstructions = NUM_POINTS
    shows_single_examples = False
    shows_traversals = False

    def epoch_figures(
        self, model: "VAE", batch: "Batch", classes: np.ndarray | None, seed: int, title_suffix: str
    ) -> dict[str, Figure]:
        """Returns a single figure of data, reconstructions, prior samples and posterior means."""
        count = len(batch.target)
        sample_classes = None if model.num_classes is None else np.arange(count) % model.num_classes
        panels = {
            f"Data{title_suffix}": Points(batch.target, classes),
            "Reconstructions": Points(model.reconstruct(batch.inputs, batch.labels), classes),
            "Prior samples": Points(model.sample(count, seed, sample_classes, mean=False), sample_classes),
        }
        latents = {"Latent space": Points(model.encode(batch.inputs, batch.labels), classes)}
        return {"samples": point_panels(panels, latents)}

    def samples(self, samples: np.ndarray, classes: np.ndarray | None, title: str) -> Figure:
        """Returns the samples, coloured by class."""
        return point_panels({title: Points(samples, classes)})

    def samples_by_class(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str], title: str) -> Figure:
        """Returns the samples, coloured by class."""
        return self.samples(samples, classes, title)

    def reconstructions(self, batch: "Batch", reconstructed: np.ndarray, title_suffix: str = "") -> Figure:
        """Returns examples and reconstructions next to each other."""
        panels = {"Originals": batch.target, "Reconstructions": reconstructed}
        return point_panels({title: Points(xy, batch.labels) for title, xy in panels.items()})

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns one panel with all paths, each in its own colour."""
        path_indices = np.repeat(np.arange(len(paths)), paths.shape[1])
        return point_panels({"Latent interpolations": Points(paths.reshape(-1, paths.shape[-1]), path_indices)})

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns the sets of points next to each other."""
        return point_panels({title: Points(rows) for title, rows in panels.items()})

    def rows_with_headings(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns the sets of points next to each other."""
        return self.side_by_side(rows, len(rows))


IMAGE_FIGURES: Figures = ImageFigures()
POINT_FIGURES: Figures = PointFigures()
