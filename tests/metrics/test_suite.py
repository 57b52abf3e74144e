import numpy as np

from vae_tf.metrics.suite import fingerprint

PICTURES = np.random.default_rng(0).random((10, 4, 4, 1), np.float32)


def test_fingerprint_does_not_depend_on_the_batches():
    assert fingerprint([PICTURES]) == fingerprint([PICTURES[:7], PICTURES[7:]])


def test_fingerprint_depends_on_the_images_and_their_order():
    changed = PICTURES.copy()
    changed[3, 0, 0, 0] += 0.01
    assert len({fingerprint([pictures]) for pictures in (PICTURES, changed, PICTURES[::-1])}) == 3
