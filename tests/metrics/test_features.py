import numpy as np
import pytest

from vae_tf.metrics import features
from vae_tf.metrics.features import NUM_FEATURES, classifier_features, inception_features
from vae_tf.support.errors import InputError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vae_tf"


def bright_or_dark(n=40):
    labels = np.arange(n) % 2
    images = np.random.default_rng(0).random((n, 8, 8, 1), np.float32) * 0.2 + 0.7 * labels[:, None, None, None]
    return images.astype(np.float32), labels


def test_classifier_features_tell_the_classes_apart(cache):
    images, labels = bright_or_dark()
    space = classifier_features(images, labels, "toy")
    rows = space.extract(images)
    assert (space.name, rows.shape) == ("classifier_toy", (40, NUM_FEATURES["classifier"]))
    between = np.linalg.norm(rows[labels == 0].mean(axis=0) - rows[labels == 1].mean(axis=0))
    within = np.linalg.norm(rows[labels == 0] - rows[labels == 0].mean(axis=0), axis=1).mean()
    assert between > 2 * within


def test_classifier_is_trained_once_and_kept(cache, monkeypatch):
    images, labels = bright_or_dark()
    first = classifier_features(images, labels, "toy").extract(images)
    monkeypatch.setattr(features, "_train_classifier", lambda *_: pytest.fail("trained again"))
    np.testing.assert_array_equal(classifier_features(images, labels, "toy").extract(images), first)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.slow
def test_classifier_is_the_same_wherever_it_is_trained(tmp_path, monkeypatch):
    images, labels = bright_or_dark()
    rows = []
    for place in ("one", "other"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
        rows.append(classifier_features(images, labels, "toy").extract(images))
    np.testing.assert_array_equal(*rows)


def test_images_of_another_shape_are_fitted_to_the_classifier(cache):
    images, labels = bright_or_dark()
    space = classifier_features(images, labels, "toy")
    assert space.extract(np.zeros((3, 50, 40, 3), np.float32)).shape == (3, NUM_FEATURES["classifier"])


@pytest.mark.slow
def test_inception_features_take_small_grey_images():
    space = inception_features(weights=None)
    rows = space.extract(bright_or_dark(2)[0])
    assert (space.name, rows.shape) == ("keras_inception", (2, NUM_FEATURES["inception"]))


def test_inception_without_its_weights_is_an_input_error(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure")  # as keras does

    monkeypatch.setattr(features.keras.applications, "InceptionV3", fail)
    with pytest.raises(InputError, match=r"InceptionV3 weights.*--features classifier$"):
        inception_features()
