import numpy as np

from vae_tf.metrics.suite import fingerprint

IMAGES = np.random.default_rng(0).random((10, 4, 4, 1), np.float32)


def test_fingerprint_does_not_depend_on_the_batches():
    assert fingerprint([IMAGES]) == fingerprint([IMAGES[:7], IMAGES[7:]])


def test_fingerprint_depends_on_the_images_and_their_order():
    changed = IMAGES.copy()
    changed[3, 0, 0, 0] += 0.01
    assert len({fingerprint([images]) for images in (IMAGES, changed, IMAGES[::-1])}) == 3
