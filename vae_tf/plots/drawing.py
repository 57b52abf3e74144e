"""What a model makes of data, as figures: grids of pictures, or points of a plane."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.plots import Points

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE, Observed

SAMPLES, COLUMNS = 64, 8
MOST_CLASSES = 16
POINTS = 2_000


def is_of_points(model: "VAE") -> bool:
    """Whether the model's examples are rows of features `(F,)` and not pictures."""
    return len(model.example_shape) == 1


def sample_figure(model: "VAE", seed: int, when: str) -> Figure:
    """Returns a grid of prior samples; of a conditional model a row for each of the first classes.

    Args:
        model: A model of pictures.
        seed: Of the draws.
        when: End of the line above, as `", epoch 3"`.
    """
    if model.num_classes is None:
        return plots.picture_grid(model.sample(SAMPLES, seed), COLUMNS, f"Prior samples{when}")
    shown = np.arange(min(model.num_classes, MOST_CLASSES))
    samples = model.sample(len(shown) * COLUMNS, seed, np.repeat(shown, COLUMNS))
    rows = samples.reshape(len(shown), COLUMNS, *samples.shape[1:])
    return plots.named_rows(dict(zip(map(str, shown), rows, strict=True)), f"Prior samples of each class{when}")


def reconstruction_figure(model: "VAE", seen: "Observed", when: str = "") -> Figure:
    """Returns originals above their reconstructions; of a model that restores, what it was given above both.

    Args:
        model: A model of pictures.
        seen: A batch in arrays.
        when: End of the line above, as `", epoch 3"`.
    """
    restored = model.reconstruct(seen.inputs, seen.labels)
    if seen.inputs is seen.target:
        return plots.picture_rows([seen.target, restored], f"Originals above, reconstructions below{when}")
    return plots.picture_rows([seen.inputs, restored, seen.target], f"Corrupted, restored and clean{when}")


def overview_figure(model: "VAE", seen: "Observed", classes: np.ndarray | None, seed: int, when: str) -> Figure:
    """Returns data, reconstructions, prior samples and posterior means next to each other, coloured by class.

    Args:
        model: A model of rows.
        seen: A batch of rows in arrays.
        classes: Class of each row `(N,)`, whether the model is told or not.
        seed: Of the samples, which are draws from the likelihood.
        when: End of the title of the data, as `", epoch 3"`.
    """
    count = len(seen.target)
    sampled = None if model.num_classes is None else np.arange(count) % model.num_classes
    return plots.point_panels(
        {
            f"Data{when}": Points(seen.target, classes),
            "Reconstructions": Points(model.reconstruct(seen.inputs, seen.labels), classes),
            "Prior samples": Points(model.sample(count, seed, sampled, mean=False), sampled),
        },
        {"Latent space": Points(model.encode(seen.inputs, seen.labels), classes)},
    )
