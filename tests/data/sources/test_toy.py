"""The toy sets, against their geometry."""

import numpy as np
import pytest

from vae_tf.data.sources.toy import BLOB_CENTRES, BLOB_STDDEV, NOISE, generate_points


def test_moons_are_two_half_circles_of_radius_one():
    points, classes = generate_points("moons", 2_000, 0)
    for label, centre in ((0, (-0.5, -0.25)), (1, (0.5, 0.25))):
        radii = np.linalg.norm(points[classes == label] - centre, axis=1)
        assert radii.mean() == pytest.approx(1, abs=0.01)
        assert radii.std() == pytest.approx(NOISE, rel=0.1)


def test_circles_have_radius_one_and_a_half():
    points, classes = generate_points("circles", 2_000, 0)
    radii = np.linalg.norm(points, axis=1)
    assert radii[classes == 0].mean() == pytest.approx(1, abs=0.01)
    assert radii[classes == 1].mean() == pytest.approx(0.5, abs=0.01)


def test_blobs_lie_around_their_centres():
    points, classes = generate_points("blobs", 3_000, 0)
    for label, centre in enumerate(BLOB_CENTRES):
        np.testing.assert_allclose(points[classes == label].mean(axis=0), centre, atol=0.03)
        np.testing.assert_allclose(points[classes == label].std(axis=0), BLOB_STDDEV, rtol=0.1)


@pytest.mark.parametrize("name", ["moons", "circles", "blobs"])
def test_a_seed_repeats_the_points(name):
    first, again, other = (generate_points(name, 50, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
