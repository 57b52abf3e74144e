"""The latents on a page: where the data lies in the latent space, and what each dimension does."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vae_tf import plots
from vae_tf.config import RunConfig
from vae_tf.data.catalog import Splits
from vae_tf.metrics.latents import Plane, principal_plane
from vae_tf.metrics.traversal import Traversal, encoded_sample, traverse
from vae_tf.report import html
from vae_tf.report.html import Picture, Section

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE


class LatentView(NamedTuple):
    """The latents of one run.

    Attributes:
        plane: Posterior means of test examples in two dimensions.
        labels: Class of each example `(N,)`, or `None`.
        class_names: Name of each class, if the data has names.
        traversal: Traversal of the most informative dimensions; `None` if the examples are not images.
    """

    plane: Plane
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
    encoded = encoded_sample(model, config, splits)
    has_traversals = splits.spec.modality.figures.shows_traversals
    traversal = traverse(model, config, splits, encoded) if has_traversals else None
    return LatentView(principal_plane(encoded.means), encoded.labels, splits.spec.class_names, traversal)


def sections(views: Mapping[str, LatentView]) -> list[Section]:
    """Returns the sections about the latents; several runs are shown side by side.

    Args:
        views: View of each run, by its label.
    """
    maps = [_map(label, view) for label, view in views.items()]
    traversals = [_traversals(label, view.traversal) for label, view in views.items() if view.traversal is not None]
    text = "Posterior means of test examples in two dimensions; a colour for each class where the data has classes."
    steps = (
        "Each row changes one latent dimension to the value above it, in standard deviations of the prior, and leaves "
        "the others at the posterior mean of the first test picture. The dimensions with the highest KL come first."
    )
    return [
        Section("Latent space", text, maps),
        *([Section("Latent traversals", steps, traversals)] if traversals else []),
    ]


def _map(label: str, view: LatentView) -> Picture:
    axis_names = ("first principal component", "second principal component")
    caption = f"The first two principal components of the means: {view.plane.share:.0%} of their variance."
    if not view.plane.is_projected:
        axis_names, caption = ("z0", "z1"), "The latents themselves."
    figure = plots.latent_map(view.plane.points, view.labels, axis_names, label, view.class_names)
    return html.picture(figure, f"Map of the posterior means of {label}", caption)


def _traversals(label: str, traversal: Traversal) -> Picture:
    figure = plots.named_rows(traversal.rows, label, traversal.columns)
    return html.picture(figure, f"Traversals of {len(traversal.dimensions)} latent dimensions of {label}")
