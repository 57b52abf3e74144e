"""The figures of each modality: grids of images, and points of a plane, behind the same methods."""

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
        shows_means: Whether samples are shown as mean data; otherwise as draws from the likelihood.
        shows_traversals: Whether there are figures of one latent dimension at a time.
    """

    num_samples: int
    num_samples_of_class: int
    num_reconstructions: int
    shows_means: bool
    shows_traversals: bool

    def epoch(
        self, model: "VAE", seen: "Observed", classes: np.ndarray | None, seed: int, when: str
    ) -> dict[str, Figure]:
        """Returns the figures that training draws, by `"samples"` and `"reconstructions"`.

        Args:
            model: The model.
            seen: Test examples in one batch, in arrays.
            classes: Class of each example `(N,)`, whether the model uses them or not; `None` if there are none.
            seed: Of the samples.
            when: End of the titles, as `", epoch 3"`.
        """
        ...

    def samples(self, samples: np.ndarray, classes: np.ndarray | None) -> Figure:
        """Returns a figure of samples and their classes `(N,)`."""
        ...

    def samples_of_classes(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Figure:
        """Returns a figure of equally many samples of each class, in the order of the `names`."""
        ...

    def reconstructions(self, seen: "Observed", reconstructed: np.ndarray, when: str = "") -> Figure:
        """Returns a figure of examples and their reconstructions, and of what the model was given if that differs."""
        ...

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns a figure of paths through the latent space, decoded `(N, S, ...)`."""
        ...

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns a figure of several sets of examples next to each other, below their titles."""
        ...

    def labelled_rows(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns a figure with a row of examples below each label."""
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
        """Returns prior samples, a row for each of the first classes of a conditional model, and reconstructions."""
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
        """Returns originals above reconstructions; for a model that restores, what it was given above both."""
        if seen.inputs is seen.target:
            return image_rows([seen.target, reconstructed], f"Originals above, reconstructions below{when}")
        return image_rows([seen.inputs, reconstructed, seen.target], f"Corrupted, restored and clean{when}")

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns a row for each path."""
        flat = paths.reshape(-1, *paths.shape[2:])
        return image_grid(flat, paths.shape[1], "From left to right through the latent space")

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns grids of images next to each other."""
        return side_by_side(panels, columns)

    def labelled_rows(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns a row of images below each label."""
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
        """Returns samples coloured by class."""
        return point_panels({"Prior samples": Points(samples, classes)})

    def samples_of_classes(self, samples: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Figure:
        """Returns samples coloured by class."""
        return self.samples(samples, classes)

    def reconstructions(self, seen: "Observed", reconstructed: np.ndarray, when: str = "") -> Figure:
        """Returns examples and reconstructions next to each other."""
        panels = {"Originals": seen.target, "Reconstructions": reconstructed}
        return point_panels({title: Points(xy, seen.labels) for title, xy in panels.items()})

    def interpolations(self, paths: np.ndarray) -> Figure:
        """Returns all paths in one panel, a colour for each."""
        of_path = np.repeat(np.arange(len(paths)), paths.shape[1])
        return point_panels({"Paths through the latent space": Points(paths.reshape(-1, paths.shape[-1]), of_path)})

    def side_by_side(self, panels: Mapping[str, np.ndarray], columns: int) -> Figure:
        """Returns points next to each other."""
        return point_panels({title: Points(rows) for title, rows in panels.items()})

    def labelled_rows(self, rows: Mapping[str, np.ndarray]) -> Figure:
        """Returns points next to each other."""
        return self.side_by_side(rows, len(rows))


IMAGE_FIGURES: Figures = ImageFigures()
POINT_FIGURES: Figures = PointFigures()
