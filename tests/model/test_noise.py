"""The noise behind posterior draws, by the kind of its seed."""

import keras
import numpy as np
from scipy import stats

from vae_tf.model.noise import standard_normal

SHAPE = (4, 3, 5)


def test_noise_is_standard_normal_float32_in_the_asked_shape():
    noise = np.asarray(standard_normal((100, 20, 5), seed=0))
    assert noise.shape == (100, 20, 5)
    assert noise.dtype == np.float32
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-4


def test_an_integer_seed_repeats_the_noise_and_another_changes_it():
    first = np.asarray(standard_normal(SHAPE, seed=1))
    np.testing.assert_array_equal(standard_normal(SHAPE, seed=1), first)
    assert not np.array_equal(standard_normal(SHAPE, seed=2), first)


def test_a_seed_generator_moves_on_between_draws():
    generator = keras.random.SeedGenerator(1)
    first = np.asarray(standard_normal(SHAPE, generator))
    assert not np.array_equal(standard_normal(SHAPE, generator), first)


def test_noise_of_an_example_depends_on_its_own_seed_alone():
    seeds = np.array([[0, 0], [7, 1], [-3, 5]], np.int32)
    together = standard_normal(SHAPE, keras.ops.convert_to_tensor(seeds))
    alone = standard_normal((4, 1, 5), keras.ops.convert_to_tensor(seeds[1:2]))
    np.testing.assert_allclose(together[:, 1:2], alone, rtol=1e-5, atol=1e-6)
