"""The figures of each modality behind one interface: grids of images, or points in a plane."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.figure import Figure

from vae_tf.plots.images import image_grid, image_rows, labelled_rows, named_rows, side_by_side
from vae_tf.plots.points import Points, point_panels

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE, Observed

SAMPLES, COLUMNS = 64, 8
MOST_CLASSES = 16
RECONSTRUCTIONS = 10
POINTS = 2_000
POINTS_OF_EACH_CLASS = 500


class Figures(Protocol):
    """The figures of a modality.

    Attributes:
        num_samples: Samples in a figure.
        num_samples_of_class: Samples of each class in a figure of all classes.
        num_reconstructions: Examples in a figure of reconstructions.
        shows_means: Whether samples are shown as means of the likelihood; otherwise they are drawn from it.
        shows_traversals: Whether there are figures of latent traversals.
    """

    num_samples: int
    num_samples_of_class: int
    num_reconstructions: int
    shows_means: bool
    shows_traversals: bool

    def epoch(
        self, model: "VAE", seen: "Observed", classes: np.ndarray | None, seed: int, when: str
    ) -> dict[str, Figure]:
        """Returns the figures drawn during training, under the keys `"samples"` and `"reconstructions"`.

        Args:
            model: The model.
            seen: Test examples as one batch of arrays.
            classes: Class of each example `(N,)`, whether or not the model uses them; `None` if there are none.
            seed: Seed of the samples.
            when: End of the titles, such as `", epoch 3"`.
        """
        ...

    def samples(self, samples: np.ndarray, classes: np.ndarray | None) -> Figure:
        """Returns a figure of samples with their classes `(N,)`."""
        ...

    def samples_of_classes(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Figure:
        """Returns a figure of samples, the same number for each class, in the order of `names`."""
        ...

    def reconstructions(self, seen: "Observed", reconstructed: np.ndarray, when: str = "") -> Figure:
        """Returns a figure of examples and their reconstructions, with the model's inputs if they differ."""
        ...

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns a figure of decoded paths through the latent space `(N, S, ...)`."""
        ...

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns a figure of several sets of examples next to each other, each under its title."""
        ...

    def labelled_rows(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns a figure with a row of examples under each label."""
        ...


class ImageFigures:
    """Figures of images `(N, H, W, C)`; see `Figures`."""

    num_samples = SAMPLES
    num_samples_of_class = COLUMNS
    num_reconstructions = RECONSTRUCTIONS
    shows_means = True
    shows_traversals = True

    def epoch(
        self, model: "VAE", seen: "Observed", classes: np.ndarray | None, seed: int, when: str
    ) -> dict[str, Figure]:
        """Returns prior samples (a row for each of the first classes, if conditional) and reconstructions."""
        reconstructed = model.reconstruct(seen.inputs, seen.labels)
        return {
            "samples": self._epoch_samples(model, seed, when),
            "reconstructions": self.reconstructions(seen, reconstructed, when),
        }

    def _epoch_samples(self, model: "VAE", seed: int, when: str) -> Figure:
        if model.num_classes is None:
            return image_grid(model.sample(SAMPLES, seed), COLUMNS, f"Prior samples{when}")
        shown = np.arange(min(model.num_classes, MOST_CLASSES))
        samples = model.sample(len(shown) * COLUMNS, seed, np.repeat(shown, COLUMNS))
        rows = samples.reshape(len(shown), COLUMNS, *samples.shape[1:])
        return named_rows(dict(zip(map(str, shown), rows, strict=True)), f"Prior samples of each class{when}")

    def samples(self, samples: np.ndarray, classes: np.ndarray | None) -> Figure:
        """Returns a grid of samples."""
        return image_grid(samples, min(COLUMNS, len(samples)), "Prior samples")

    def samples_of_classes(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Figure:
        """Returns a row of samples for each class."""
        rows = samples.reshape(len(names), -1, *samples.shape[1:])
        return named_rows(dict(zip(names, rows, strict=True)), "Prior samples of each class")

    def reconstructions(self, seen: "Observed", reconstructed: np.ndarray, when: str = "") -> Figure:
        """Returns originals above reconstructions; for a denoising model, also the corrupted inputs on top."""
        if seen.inputs is seen.target:
            return image_rows([seen.target, reconstructed], f"Originals above, reconstructions below{when}")
        return image_rows([seen.inputs, reconstructed, seen.target], f"Corrupted, restored and clean{when}")

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns one row per path."""
        flat = paths.reshape(-1, *paths.shape[2:])
        return image_grid(flat, paths.shape[1], "From left to right through the latent space")

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns grids of images next to each other."""
        return side_by_side(panels, columns)

    def labelled_rows(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns a row of images under each label."""
        return labelled_rows(rows)


class PointFigures:
    """Figures of the first two features of rows `(N, F)`; see `Figures`."""

    num_samples = POINTS
    num_samples_of_class = POINTS_OF_EACH_CLASS
    num_reconstructions = POINTS
    shows_means = False
    shows_traversals = False

    def epoch(
        self, model: "VAE", seen: "Observed", classes: np.ndarray | None, seed: int, when: str
    ) -> dict[str, Figure]:
        """Returns data, reconstructions, prior samples and posterior means in one figure."""
        count = len(seen.target)
        sampled = None if model.num_classes is None else np.arange(count) % model.num_classes
        panels = {
            f"Data{when}": Points(seen.target, classes),
            "Reconstructions": Points(model.reconstruct(seen.inputs, seen.labels), classes),
            "Prior samples": Points(model.sample(count, seed, sampled, mean=False), sampled),
        }
        latents = {"Latent space": Points(model.encode(seen.inputs, seen.labels), classes)}
        return {"samples": point_panels(panels, latents)}

    def samples(self, samples: np.ndarray, classes: np.ndarray | None) -> Figure:
        """Returns the samples, coloured by class."""
        return point_panels({"Prior samples": Points(samples, classes)})

    def samples_of_classes(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Figure:
        """Returns the samples, coloured by class."""
        return self.samples(samples, classes)

    def reconstructions(self, seen: "Observed", reconstructed: np.ndarray, when: str = "") -> Figure:
        """Returns examples and reconstructions next to each other."""
        panels = {"Originals": seen.target, "Reconstructions": reconstructed}
        return point_panels({title: Points(xy, seen.labels) for title, xy in panels.items()})

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns all paths in one panel, each in its own colour."""
        of_path = np.repeat(np.arange(len(paths)), paths.shape[1])
        return point_panels({"Paths through the latent space": Points(paths.reshape(-1, paths.shape[-1]), of_path)})

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns the sets of points next to each other."""
        return point_panels({title: Points(rows) for title, rows in panels.items()})

    def labelled_rows(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns the sets of points next to each other."""
        return self.side_by_side(rows, len(rows))


IMAGE_FIGURES: Figures = ImageFigures()
POINT_FIGURES: Figures = PointFigures()
