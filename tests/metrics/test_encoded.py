import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.sources.arrays import ArrayExamples
from vae_tf.metrics import encoded
from vae_tf.metrics.encoded import encode, spread

SHAPE = (8, 8, 1)
PIXELS = np.random.default_rng(0).integers(0, 256, (11, *SHAPE), np.uint8)
EXAMPLES = ArrayExamples(PIXELS, np.arange(11) % 3, 255.0)


def small_vae(**changes):
    return vae_tf.build_vae(
        example_shape=SHAPE, latent_dim=3, arch="dense", hidden_sizes=(8,), variant="plain", **changes
    )


def test_posteriors_come_in_the_order_of_the_data_whatever_the_batches_are(monkeypatch):
    monkeypatch.setattr(encoded, "BATCH", 4)
    model = small_vae()
    means, log_vars, labels = encode(model, EXAMPLES, RunConfig(), SHAPE, "test")
    params = model.encode_params(PIXELS.astype(np.float32) / 255)
    np.testing.assert_allclose(np.concatenate([means, log_vars], axis=1), params, atol=1e-6)
    np.testing.assert_array_equal(labels, EXAMPLES.labels)


def test_a_conditional_model_is_told_the_classes():
    model = small_vae(num_classes=3)
    means, _, _ = encode(model, EXAMPLES, RunConfig(conditional=True), SHAPE, "test")
    np.testing.assert_allclose(means, model.encode(PIXELS.astype(np.float32) / 255, EXAMPLES.labels), atol=1e-6)


def test_the_encoder_sees_what_is_corrupted():
    means, _, _ = encode(model := small_vae(), EXAMPLES, RunConfig(corrupt="mask:1"), SHAPE, "test")
    np.testing.assert_allclose(means, model.encode(np.zeros_like(PIXELS, np.float32)), atol=1e-6)


@pytest.mark.parametrize(("count", "positions"), [(3, [0, 3, 7]), (11, range(11)), (99, range(11))])
def test_some_examples_are_spread_over_all_of_them(count, positions):
    np.testing.assert_array_equal(spread(EXAMPLES, count).read(np.arange(len(positions))), PIXELS[list(positions)])
