import numpy as np

from vae_tf.metrics.suite import sha256_of

IMAGES = np.random.default_rng(0).random((10, 4, 4, 1), np.float32)


def test_sha256_of_does_not_depend_on_the_batches():
    assert sha256_of([IMAGES]) == sha256_of([IMAGES[:7], IMAGES[7:]])


def test_sha256_of_depends_on_the_images_and_their_order():
    changed = IMAGES.copy()
    changed[3, 0, 0, 0] += 0.01
    assert len({sha256_of([images]) for images in (IMAGES, changed, IMAGES[::-1])}) == 3
