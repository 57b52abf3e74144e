"""The sections of a page about the latents: a map of the posterior means, and latent traversals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_tf import plots
from vae_tf.config import RunConfig
from vae_tf.data.loading import Splits
from vae_tf.metrics.latents import Projection2D, project_to_2d
from vae_tf.metrics.traversal import Traversal, encode_test_examples, traverse
from vae_tf.report import html
from vae_tf.report.html import Image, Section

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE


class LatentView(NamedTuple):
    """The latents of one run.

    Attributes:
        plane: Posterior means of test examples in two dimensions.
        labels: Class of each example `(N,)`, or `None` for unlabelled data.
        class_names: Name of each class, or `None` if the classes have no names.
        traversal: Traversal of the dimensions with the highest KL; `None` if the examples are not images.
    """

    plane: Projection2D
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None
    traversal: Traversal | None


def latent_view(model: "VAE", config: RunConfig, splits: Splits) -> LatentView:
    """Returns what a report shows of a run's latents.

    Args:
        model: The run's model.
        config: The run's config.
        splits: The run's data.
    """
    encoded = encode_test_examples(model, config, splits)
    has_traversals = splits.spec.modality.figures.shows_traversals
    traversal = traverse(model, config, splits, encoded) if has_traversals else None
    return LatentView(project_to_2d(encoded.means), encoded.labels, splits.spec.class_names, traversal)


def sections(views: Mapping[str, LatentView]) -> list[Section]:
    """Returns the sections about the latents; several runs are shown side by side.

    Args:
        views: The view of each run, keyed by its label.
    """
    maps = [_map_image(label, view) for label, view in views.items()]
    traversals = [
        _traversal_image(label, view.traversal) for label, view in views.items() if view.traversal is not None
    ]
    map_text = "Posterior means of test examples in two dimensions, coloured by class if the data is labelled."
    traversal_text = (
        "Each row sets one latent dimension to the values in the column headings, in standard deviations of the prior, "
        "and keeps the others at the posterior mean of the first test image. The dimensions with the highest KL come "
        "first."
    )
    return [
        Section("Latent space", map_text, maps),
        *([Section("Latent traversals", traversal_text, traversals)] if traversals else []),
    ]


def _map_image(label: str, view: LatentView) -> Image:
    axis_names = ("first principal component", "second principal component")
    share = view.plane.explained_variance_ratio
    caption = f"First two principal components of the posterior means ({share:.0%} of the variance)."
    if not view.plane.is_projected:
        axis_names, caption = ("z0", "z1"), "The latent dimensions themselves."
    figure = plots.latent_map(view.plane.points, view.labels, axis_names, label, view.class_names)
    return html.image(figure, f"Map of the posterior means of {label}", caption)


def _traversal_image(label: str, traversal: Traversal) -> Image:
    figure = plots.rows_with_side_labels(traversal.rows, label, traversal.columns)
    return html.image(figure, f"Traversals of {len(traversal.dimensions)} latent dimensions of {label}")
