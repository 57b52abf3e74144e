"""Scores the images in a batch deployment: one CSV line per image, with its path and its negative ELBO in nats.

The higher the score, the more anomalous the image.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vae_tf.config import RunConfig
from vae_tf.data.loading import parse_image_size
from vae_tf.data.sources.image_files import open_images, warn_about_skipped
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.model.vae import VAE

SEED = 0

config: RunConfig
model: "VAE"


def init() -> None:
    """Loads the registered run; Azure ML calls this once per worker."""
    global config, model
    load_tensorflow()
    (config_path,) = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("config.yml")
    run = RunDir(config_path.parent)
    config, model = run.read_config(), run.load_model()


def run(mini_batch: list[str]) -> list[str]:
    """Returns a line for each file that can be opened as an image; the service counts the other files as failed.

    Args:
        mini_batch: Paths of the files.
    """
    from vae_tf.data.pipeline import evaluation_batches
    from vae_tf.metrics.elbo import elbo_per_image

    size = parse_image_size(config)
    assert size is not None  # train always writes it
    assert config.channels is not None
    example_shape = (*size, config.channels)
    images = open_images(mini_batch, example_shape, config.image_fit)
    warn_about_skipped(images.skipped, len(mini_batch))
    if not len(images):
        return []
    batches = evaluation_batches(images, config, example_shape, "test")
    scores = elbo_per_image(model, batches.as_numpy_iterator(), SEED).negative_elbo
    return [f"{path},{score:.4f}" for path, score in zip(images.names, scores, strict=True)]
