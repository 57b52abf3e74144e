import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.metrics.encoding import EncodedExamples
from vae_tf.metrics.latents import normal_kl
from vae_tf.metrics.traversal import encode_test_examples, traverse

SHAPE = (8, 8, 1)
# KL of a posterior with variance 1 is half its squared mean: 0.5, 8, 0 and 2 nats.
MEANS, LOG_VARS = np.tile([1.0, -4.0, 0.0, 2.0], (5, 1)), np.zeros((5, 4))
ENCODED = EncodedExamples(MEANS, LOG_VARS, normal_kl(MEANS, LOG_VARS), None)


@pytest.fixture
def made(tmp_path):
    """A model, and the config and splits it fits."""

    def make(num_test=6, **changes):
        images = np.random.default_rng(0).integers(0, 256, (20 + num_test, *SHAPE), np.uint8)
        labels = np.arange(len(images)) % 3
        arrays = {"x_train": images[:20], "x_test": images[20:], "y_train": labels[:20], "y_test": labels[20:]}
        np.savez(tmp_path / "data.npz", **arrays)
        config = RunConfig(dataset="npz", data_dir=str(tmp_path / "data.npz"), **changes)
        model = vae_tf.build_vae(
            example_shape=SHAPE, latent_dim=4, arch="dense", hidden_sizes=(8,), variant="plain",
            num_classes=3 if config.conditional else None,
        )  # fmt: skip
        return model, config, load_splits(config)

    return make


def test_dimensions_come_by_their_divergence(made):
    traversal = traverse(*made(), ENCODED, num=3)
    assert traversal.dimensions.tolist() == [1, 3, 0]
    np.testing.assert_allclose(traversal.kl, [8, 2, 0.5])
    assert list(traversal.rows) == ["z1: 8.00 nats", "z3: 2.00 nats", "z0: 0.50 nats"]


def test_all_are_traversed_where_there_are_fewer_than_asked_for(made):
    assert len(traverse(*made(), ENCODED, num=10).traversals) == 4


@pytest.mark.parametrize("conditional", [False, True])
def test_one_dimension_changes_and_the_others_stay_at_the_first_test_image(made, conditional):
    model, config, splits = made(conditional=conditional)
    traversal = traverse(model, config, splits, ENCODED, num=2)
    assert traversal.values.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    label = splits.test.labels[:1] if conditional else None
    mean = model.encode(splits.test.read(np.arange(1)).astype(np.float32) / 255, label)
    for dimension, row in zip((1, 3), traversal.traversals, strict=True):
        for value, image in zip(traversal.values, row, strict=True):
            z = mean.copy()
            z[0, dimension] = value
            np.testing.assert_allclose(image, model.decode(z, label)[0], atol=1e-5)


def test_the_sample_is_bounded(made, monkeypatch):
    monkeypatch.setattr("vae_tf.metrics.traversal.MAX_EXAMPLES", 3)
    model, config, splits = made()
    encoded = encode_test_examples(model, config, splits)
    images = splits.test.read(np.array([0, 2, 4])).astype(np.float32) / 255
    np.testing.assert_allclose(encoded.means, model.encode(images), atol=1e-6)
    np.testing.assert_array_equal(encoded.labels, splits.test.labels[[0, 2, 4]])
