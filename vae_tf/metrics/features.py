"""Feature spaces in which generated images are compared with real ones."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from vae_tf.data.pipeline import resize_and_convert
from vae_tf.support.errors import InputError
from vae_tf.support.files import atomic_write

CLASSIFIER_VERSION = 1
CLASSIFIER_EPOCHS = 5
CLASSIFIER_SEED = 0
BATCH_SIZE = 256
INCEPTION_SIZE = 299
NUM_FEATURES = {"classifier": 64, "inception": 2048}


class FeatureSpace(NamedTuple):
    """A space in which distances between images are measured.

    Attributes:
        name: Name of the space; part of the name of every metric in this space, so that metrics of
            different spaces are not mixed up.
        extract: Function from images, float32 `(N, H, W, C)` in [0, 1], to features, float32 `(N, D)`.
    """

    name: str
    extract: Callable[[np.ndarray], np.ndarray]


def classifier_features(images: np.ndarray, labels: np.ndarray, dataset: str) -> FeatureSpace:
    """Returns the last hidden layer of a small classifier trained on a labelled dataset.

    The classifier is trained once with a fixed seed, and cached in the user's cache folder under a hash of the data.

    Args:
        images: Training images `(N, H, W, C)` in [0, 1].
        labels: Class of each image `(N,)`.
        dataset: Name of the dataset, used in the name of the space.
    """
    path = _cache_folder() / f"classifier_{_fingerprint(images, labels)}.keras"
    if path.is_file():
        model = keras.saving.load_model(path)
    else:
        model = _train_classifier(images, labels)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            model.save(partial)
    hidden = keras.Model(model.inputs, model.layers[-2].output)
    example_shape = images.shape[1:]

    def extract(batch: np.ndarray) -> np.ndarray:
        return np.asarray(hidden.predict(resize_and_convert(batch, example_shape), batch_size=BATCH_SIZE, verbose=0))

    return FeatureSpace(f"classifier_{dataset}", extract)


def inception_features(weights: str | None = "imagenet") -> FeatureSpace:
    """Returns the pooled features of Keras's InceptionV3.

    The network and its weights are not the ones that standard FID uses, so do not call a distance in this space FID.

    Args:
        weights: `"imagenet"`, downloaded on first use, or `None` for random weights (for tests).

    Raises:
        InputError: The weights can't be downloaded.
    """
    try:
        network = keras.applications.InceptionV3(include_top=False, weights=weights, pooling="avg")
    except Exception as error:  # Keras raises a bare Exception if the download fails
        reason = str(error)[:120]
        raise InputError(
            f"features=inception needs Keras's InceptionV3 weights, which could not be downloaded ({reason}); "
            "use --features classifier"
        ) from None

    def extract(images: np.ndarray) -> np.ndarray:
        features = []
        for start in range(0, len(images), BATCH_SIZE):
            resized = resize_and_convert(images[start : start + BATCH_SIZE], (INCEPTION_SIZE, INCEPTION_SIZE, 3))
            features.append(network.predict(2 * resized - 1, batch_size=32, verbose=0))
        return np.concatenate(features)

    return FeatureSpace("keras_inception", extract)


def _train_classifier(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    def initializer(number: int) -> keras.initializers.Initializer:
        return keras.initializers.HeNormal(seed=CLASSIFIER_SEED + number)

    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", kernel_initializer=initializer(0)),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu", kernel_initializer=initializer(1)),
            layers.Flatten(),
            layers.Dense(NUM_FEATURES["classifier"], activation="relu", kernel_initializer=initializer(2)),
            layers.Dense(int(labels.max()) + 1, kernel_initializer=initializer(3)),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    rng = np.random.default_rng(CLASSIFIER_SEED)
    for _ in range(CLASSIFIER_EPOCHS):
        order = rng.permutation(len(images))
        model.fit(images[order], labels[order], batch_size=128, shuffle=False, verbose=0)
    return model


def _fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    digest = hashlib.sha256(f"{CLASSIFIER_VERSION} {images.shape}".encode())
    digest.update(images.tobytes())
    digest.update(labels.tobytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vae_tf"
