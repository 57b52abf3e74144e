import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from vae_tf.config import DataConfig
from vae_tf.data.pipeline import (
    NO_SHARDING,
    Shard,
    epoch_order,
    evaluation_batches,
    first_batch,
    first_examples,
    num_batches,
    training_batches,
)
from vae_tf.data.sources.arrays import ArraySource
from vae_tf.data.sources.image_files import open_images

SHAPE = (8, 8, 1)


def config(**values):
    return DataConfig(**values)


def numbered(count):
    """Images of one grey level each: their number, of 255."""
    return ArraySource(
        np.arange(count, dtype=np.uint8)[:, np.newaxis, np.newaxis].repeat(8, 1).repeat(8, 2), None, 255.0
    )


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def grey(level, count=40, side=8):
    return ArraySource(np.full((count, side, side), level, np.float32), None, 1.0)


def epochs(examples, settings, count, shape=SHAPE):
    """The images of the first epochs, each as one array (N, H, W, C)."""
    steps = num_batches(examples, settings.batch_size)
    batches = list(training_batches(examples, settings, shape).take(count * steps).as_numpy_iterator())
    return [np.concatenate(batches[epoch * steps : (epoch + 1) * steps]) for epoch in range(count)]


def numbers(images):
    return np.rint(images[:, 0, 0, 0] * 255).astype(int).tolist()


def evaluated(examples, settings, shape=SHAPE, split="test"):
    return np.concatenate(list(evaluation_batches(examples, settings, shape, split).as_numpy_iterator()))


def order(num_examples, seed, epoch):
    return epoch_order(num_examples, seed, tf.constant(epoch, tf.int64)).numpy().tolist()


def in_own_order(images, seed, epoch):
    """The images of an epoch put back into the order of the examples."""
    restored = np.empty_like(images)
    restored[order(len(images), seed, epoch)] = images
    return restored


# Values and shapes


@pytest.mark.parametrize(
    ("pixels", "scale"),
    [(noise(9, 12, 10, 3), 255.0), (np.linspace(0, 1, 9 * 12 * 10).reshape(9, 12, 10), 1.0)],
    ids=["bytes", "floats"],
)
@pytest.mark.parametrize("size", ["12x10", "8x8", "30x30", "9x40"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_float32_in_0_to_1_of_the_shape_asked_for(pixels, scale, size, channels):
    height, width = map(int, size.split("x"))

    images = evaluated(ArraySource(pixels, None, scale), config(), (height, width, channels))

    assert images.dtype == np.float32
    assert images.shape == (9, height, width, channels)
    assert images.min() >= 0
    assert images.max() <= 1


def test_batches_state_their_shape_before_they_are_read():
    spec = training_batches(numbered(9), config(), (16, 12, 3)).element_spec

    assert (spec.shape.as_list(), spec.dtype) == ([None, 16, 12, 3], tf.float32)


def test_values_are_the_levels_over_255_where_nothing_is_resized():
    pixels = noise(5, 8, 8)

    np.testing.assert_allclose(evaluated(ArraySource(pixels, None, 255.0), config())[..., 0], pixels / 255, rtol=1e-6)


def test_grey_is_repeated_over_three_channels():
    pixels = noise(2, 8, 8)

    images = evaluated(ArraySource(pixels, None, 255.0), config(), (8, 8, 3))

    np.testing.assert_allclose(images, np.repeat(pixels[..., np.newaxis] / 255, 3, axis=3), rtol=1e-6)


def test_colour_becomes_grey_by_luminance():
    pixels = noise(2, 8, 8, 3)

    images = evaluated(ArraySource(pixels, None, 255.0), config())

    # ITU-R 601 to three digits; TensorFlow's weights have four and differ by 1e-4 each.
    np.testing.assert_allclose(images[..., 0], pixels @ [0.299, 0.587, 0.114] / 255, atol=2e-4)


@pytest.mark.parametrize("size", [(11, 9), (40, 52), (12, 60), (50, 9)], ids=["down", "up", "wide", "high"])
def test_resizing_is_pillows_bilinear(size):
    pixels = noise(1, 23, 31)

    image = evaluated(ArraySource(pixels, None, 255.0), config(), (*size, 1))[0, ..., 0]

    as_float = Image.fromarray(pixels[0].astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR)
    # Both compute in float32 here, from the same definition of the filter.
    np.testing.assert_allclose(image, np.asarray(as_float) / 255, atol=1e-5)


@pytest.mark.parametrize(("fit", "rows"), [("stretch", 0), ("crop", 0), ("pad", 2)])
def test_arrays_are_resized_with_the_fit_of_the_config(fit, rows):
    image = evaluated(ArraySource(np.zeros((1, 8, 16), np.uint8), None, 255.0), config(fit=fit))[0, ..., 0]

    assert (image[:rows] == 1).all()
    assert (image[rows : 8 - rows] == 0).all()
    assert (image[8 - rows :] == 1).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_image_file_and_an_array_of_it_are_resized_alike(tmp_path, channels):
    pixels = noise(1, 23, 31, 3)
    Image.fromarray(pixels[0]).save(tmp_path / "a.png")
    shape = (16, 12, channels)

    from_file = evaluated(open_images([tmp_path / "a.png"], shape), config(), shape)
    from_array = evaluated(ArraySource(pixels, None, 255.0), config(), shape)

    # Pillow rounds to a level after grey conversion and after each of the two passes: 0.5 each, 0.1 for the weights.
    np.testing.assert_allclose(from_file, from_array, atol=1.6 / 255)


# Order


def test_an_epoch_holds_every_example_once():
    for images in epochs(numbered(50), config(batch_size=8), 3):
        assert sorted(numbers(images)) == list(range(50))


def test_each_epoch_has_another_order():
    first, second, third = map(numbers, epochs(numbered(50), config(batch_size=8), 3))

    assert first != second
    assert second != third
    assert first != third


def test_epochs_follow_epoch_order():
    delivered = epochs(numbered(50), config(batch_size=8, seed=5), 2)

    assert [numbers(images) for images in delivered] == [order(50, seed=5, epoch=epoch) for epoch in (0, 1)]


def test_the_order_does_not_depend_on_the_batch_size():
    by_8, by_50 = (numbers(epochs(numbered(50), config(batch_size=size), 1)[0]) for size in (8, 50))

    assert by_8 == by_50


def test_the_same_seed_and_epoch_give_the_same_order():
    assert order(50, seed=1, epoch=7) == order(50, seed=1, epoch=7)


@pytest.mark.parametrize("other", [{"seed": 2, "epoch": 7}, {"seed": 1, "epoch": 8}, {"seed": 7, "epoch": 1}])
def test_another_seed_or_epoch_gives_another_order(other):
    assert order(50, seed=1, epoch=7) != order(50, **other)


def test_every_example_comes_to_every_place():
    places = np.array([order(5, seed=0, epoch=epoch) for epoch in range(500)])

    counts = np.array([np.bincount(column, minlength=5) for column in places.T])

    # 100 expected, standard deviation sqrt(500 * 0.2 * 0.8) = 9; five of them.
    assert np.abs(counts - 100).max() < 45


def test_the_short_last_batch_is_kept():
    batches = list(training_batches(numbered(50), config(batch_size=16), SHAPE).take(8).as_numpy_iterator())

    assert [len(batch) for batch in batches] == [16, 16, 16, 2, 16, 16, 16, 2]


@pytest.mark.parametrize(("count", "batch_size", "expected"), [(50, 16, 4), (48, 16, 3), (5, 128, 1)])
def test_num_batches_counts_the_short_one(count, batch_size, expected):
    assert num_batches(numbered(count), batch_size) == expected
    assert len(list(evaluation_batches(numbered(count), config(batch_size=batch_size), SHAPE, "val"))) == expected


def read_by(shard, batches, examples, *args):
    """The numbers of the images in the first elements that a worker reads."""
    dataset = batches(examples, config(batch_size=8), SHAPE, *args, shard).take(6)
    return [numbers(batch) for batch in dataset.as_numpy_iterator()]


@pytest.mark.parametrize(("batches", "args"), [(training_batches, ()), (evaluation_batches, ("test",))])
def test_replicas_read_their_rows_of_each_batch(batches, args):
    examples = numbered(18)  # batches of 8, 8 and 2, for three replicas of two workers
    whole = read_by(NO_SHARDING, batches, examples, *args)[:3]
    first = read_by(Shard(0, 2, 3), batches, examples, *args)
    second = read_by(Shard(2, 1, 3), batches, examples, *args)[:3]

    assert [len(rows) for rows in first] == [2, 3, 2, 3, 0, 1]
    assert [len(rows) for rows in second] == [3, 3, 1]
    for number, batch in enumerate(whole):
        parts = [*first[2 * number : 2 * number + 2], second[number]]
        np.testing.assert_array_equal(np.concatenate(parts), batch)


def test_draws_of_a_replica_are_those_of_its_rows_of_the_batch():
    settings = config(batch_size=8, binarize="dynamic", corrupt="gaussian:0.3")
    (whole, _), *_ = training_batches(grey(128, 18), settings, SHAPE).take(1).as_numpy_iterator()
    shared = training_batches(grey(128, 18), settings, SHAPE, Shard(0, 2, 2)).take(6).as_numpy_iterator()
    (first, _), (second, _), *_ = shared

    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


def test_evaluation_keeps_the_order_of_the_split():
    assert numbers(evaluated(numbered(50), config(batch_size=16))) == list(range(50))


# Binarization


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_binarized_pixels_are_0_or_1(binarize):
    images = epochs(ArraySource(noise(20, 8, 8), None, 255.0), config(binarize=binarize), 1)[0]

    assert set(np.unique(images)) == {0.0, 1.0}


def test_black_stays_0_and_white_1():
    pixels = np.zeros((4, 8, 8), np.uint8)
    pixels[:, :, 4:] = 255

    images = epochs(ArraySource(pixels, None, 255.0), config(binarize="dynamic"), 1)[0]

    np.testing.assert_array_equal(images[..., 0], pixels / 255)


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_the_share_of_ones_is_the_grey_level(binarize, level):
    images = epochs(grey(level, count=100, side=16), config(binarize=binarize), 1, (16, 16, 1))[0]

    # 25,600 draws: standard deviation at most 0.5 / 160 = 0.003; five of them.
    assert abs(images.mean() - level) < 0.016


def test_static_draws_are_the_same_in_every_epoch():
    settings = config(binarize="static", batch_size=8)

    first, second = epochs(grey(0.5), settings, 2)

    np.testing.assert_array_equal(in_own_order(first, 0, 0), in_own_order(second, 0, 1))


def test_dynamic_draws_are_independent_from_epoch_to_epoch():
    first, second = epochs(grey(0.5), config(binarize="dynamic", batch_size=8), 2)

    # 2,560 pixels agree with chance 0.5: standard deviation 0.01; five of them.
    agreement = np.mean(in_own_order(first, 0, 0) == in_own_order(second, 0, 1))
    assert abs(agreement - 0.5) < 0.05


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_draws_differ_from_example_to_example(binarize):
    images = epochs(grey(0.5), config(binarize=binarize), 1)[0]

    assert len({image.tobytes() for image in images}) == 40


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_draws_of_a_seed_can_be_repeated_and_another_seed_gives_others(binarize):
    examples = grey(0.5)
    first, again, other = (
        in_own_order(epochs(examples, config(binarize=binarize, seed=seed), 1)[0], seed, 0) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(first, again)
    assert abs(np.mean(first == other) - 0.5) < 0.05


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_draws_do_not_depend_on_the_batch_size(binarize):
    by_7, by_40 = (epochs(grey(0.5), config(binarize=binarize, batch_size=batch_size), 2) for batch_size in (7, 40))

    np.testing.assert_array_equal(by_7, by_40)


def test_the_static_draw_of_an_example_does_not_depend_on_its_place_in_the_order():
    # The same first 20 examples in a longer split stand at other places of the epoch.
    few = in_own_order(epochs(grey(0.5, count=20), config(binarize="static"), 1)[0], 0, 0)
    many = in_own_order(epochs(grey(0.5, count=40), config(binarize="static"), 1)[0], 0, 0)

    np.testing.assert_array_equal(few, many[:20])


def test_a_dynamic_draw_is_that_of_a_place_in_the_epoch():
    few = epochs(grey(0.5, count=20), config(binarize="dynamic"), 2)
    many = epochs(grey(0.5, count=40), config(binarize="dynamic"), 2)

    np.testing.assert_array_equal(few, [epoch[:20] for epoch in many])


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_draws_are_the_same_in_every_pass(binarize, split):
    batches = evaluation_batches(grey(0.5), config(binarize=binarize, batch_size=16), SHAPE, split)
    first, second = (np.concatenate(list(batches.as_numpy_iterator())) for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_evaluation_draws_are_those_of_static_and_dynamic_alike():
    static, dynamic = (evaluated(grey(0.5), config(binarize=binarize)) for binarize in ("static", "dynamic"))

    np.testing.assert_array_equal(static, dynamic)


def test_splits_have_draws_of_their_own():
    settings = config(binarize="static")
    train = in_own_order(epochs(grey(0.5), settings, 1)[0], 0, 0)
    val, test = (evaluated(grey(0.5), settings, split=split) for split in ("val", "test"))

    for first, second in ((train, val), (train, test), (val, test)):
        assert abs(np.mean(first == second) - 0.5) < 0.05


def test_channels_are_drawn_independently():
    images = evaluated(grey(0.5), config(binarize="static"), (8, 8, 3))

    assert abs(np.mean(images[..., 0] == images[..., 1]) - 0.5) < 0.05


# First images


@pytest.mark.parametrize("binarize", ["none", "dynamic"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_first_images_are_the_first_of_evaluation(binarize, split):
    examples = ArraySource(noise(20, 10, 9), None, 255.0)
    settings = config(binarize=binarize, batch_size=3)

    first = first_examples(examples, settings, SHAPE, split, 7)

    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, evaluated(examples, settings, SHAPE, split)[:7])


def test_first_images_of_a_small_split_are_all_of_it():
    assert numbers(first_examples(numbered(5), config(), SHAPE, "test", 10)) == [0, 1, 2, 3, 4]


def test_white_stays_white_in_grey():
    white = ArraySource(np.full((2, 8, 8, 3), 255, np.uint8), None, 255.0)

    np.testing.assert_allclose(evaluated(white, config()), 1, atol=1e-6)


def test_binarized_test_images_are_the_same_for_every_seed():
    examples = ArraySource(noise(5, 8, 8), None, 255.0)
    first, other = (config(binarize="static", seed=seed) for seed in (0, 1))

    np.testing.assert_array_equal(evaluated(examples, first), evaluated(examples, other))
    assert (evaluated(examples, first, split="val") != evaluated(examples, other, split="val")).any()


# Flips


def arrows(count=40):
    """Images that are 0 on the left and, on the right, their number of 255."""
    pixels = np.zeros((count, 8, 8), np.uint8)
    pixels[:, :, 4:] = np.arange(1, count + 1, dtype=np.uint8)[:, np.newaxis, np.newaxis]
    return ArraySource(pixels, None, 255.0)


def is_flipped(images):
    """Whether each image is turned over; each must be whole."""
    left, right = images[:, :, :4], images[:, :, 4:]
    assert ((left == 0).all(axis=(1, 2, 3)) ^ (right == 0).all(axis=(1, 2, 3))).all()
    return (left > 0).all(axis=(1, 2, 3))


# Positions in the epoch, for seed 0. They must never change, or runs could not be repeated.
FLIPPED = {0: [1, 3, 4, 5, 6, 10, 11, 12], 1: [1, 2, 5, 8, 9, 14]}


def test_flips_are_those_of_the_seed_and_the_epoch():
    delivered = epochs(arrows(16), config(flip=True), 2)

    assert {epoch: np.flatnonzero(is_flipped(images)).tolist() for epoch, images in enumerate(delivered)} == FLIPPED


def test_flipped_images_are_otherwise_the_same_in_the_same_order():
    for plain, flipped in zip(epochs(arrows(), config(), 2), epochs(arrows(), config(flip=True), 2), strict=True):
        turned = is_flipped(flipped)[:, np.newaxis, np.newaxis, np.newaxis]
        np.testing.assert_array_equal(flipped, np.where(turned, plain[:, :, ::-1], plain))


def test_half_of_the_images_are_flipped():
    share = is_flipped(epochs(arrows(250), config(flip=True), 1)[0]).mean()

    # Standard deviation sqrt(0.25 / 250) = 0.032; three of them.
    assert share == pytest.approx(0.5, abs=0.095)


def test_flips_do_not_depend_on_the_batch_size():
    by_7, by_40 = (epochs(arrows(), config(flip=True, batch_size=size), 2) for size in (7, 40))

    np.testing.assert_array_equal(by_7, by_40)


def test_flips_of_a_replica_are_those_of_its_rows_of_the_batch():
    settings = config(flip=True, batch_size=8)
    whole, *_ = training_batches(arrows(), settings, SHAPE).take(1).as_numpy_iterator()
    first, second, *_ = training_batches(arrows(), settings, SHAPE, Shard(0, 2, 2)).take(2).as_numpy_iterator()

    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_only_batches_to_train_on_are_flipped(split):
    np.testing.assert_array_equal(
        evaluated(arrows(), config(flip=True), split=split), evaluated(arrows(), config(), split=split)
    )
    np.testing.assert_array_equal(
        first_examples(arrows(), config(flip=True), SHAPE, split, 5),
        first_examples(arrows(), config(), SHAPE, split, 5),
    )


def test_a_static_binary_image_is_flipped_as_it_is():
    settings = {"binarize": "static", "batch_size": 8}
    plain, flipped = (
        in_own_order(epochs(grey(0.5), config(**settings, flip=flip), 1)[0], 0, 0) for flip in (False, True)
    )
    for one, other in zip(plain, flipped, strict=True):
        assert np.array_equal(other, one) or np.array_equal(other, one[:, ::-1])
    assert (plain != flipped).any()


def test_a_corrupted_image_is_flipped_with_its_target():
    settings = config(corrupt="mask:0.3", flip=True)
    (inputs, target), *_ = training_batches(arrows(), settings, SHAPE).take(1).as_numpy_iterator()

    assert is_flipped(target).any()
    np.testing.assert_array_equal(inputs, np.where(inputs == 0, 0, target))


# Classes, and what is given beside what is wanted


LABELLED = {"conditional": True, "batch_size": 7}


def labelled(count=40):
    """Numbered images whose class is their number modulo 5."""
    examples = numbered(count)
    return ArraySource(examples.read(np.arange(count)), np.arange(count) % 5, 255.0)


def test_classes_go_with_their_images_through_shuffling():
    batches = list(training_batches(labelled(), config(**LABELLED), SHAPE).take(6).as_numpy_iterator())
    seen = [(number, label) for ((x, labels),) in batches for number, label in zip(numbers(x), labels, strict=True)]
    assert sorted(number for number, _ in seen) == list(range(40))
    assert all(label == number % 5 for number, label in seen)


def test_what_is_wanted_stands_behind_what_is_given():
    (inputs, target), *_ = evaluation_batches(labelled(), config(corrupt="mask:0.5"), SHAPE, "test").as_numpy_iterator()
    assert numbers(target) == list(range(40))
    np.testing.assert_array_equal(inputs, np.where(inputs == 0, 0, target))
    assert (inputs != target).any()


def test_a_corrupted_batch_has_its_classes_beside_what_is_given():
    settings = config(corrupt="gaussian:0.3", **LABELLED)
    ((inputs, labels), target), *_ = evaluation_batches(labelled(), settings, SHAPE, "val").as_numpy_iterator()
    assert labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert inputs.shape == target.shape == (7, *SHAPE)


def test_noise_on_training_images_is_another_every_epoch_and_elsewhere_the_same():
    settings = config(corrupt="gaussian:0.3")
    first, second = list(training_batches(grey(0.5), settings, SHAPE).take(2).as_numpy_iterator())
    assert not np.array_equal(np.sort(first[0], axis=0), np.sort(second[0], axis=0))
    once, again = (next(evaluation_batches(grey(0.5), settings, SHAPE, "val").as_numpy_iterator()) for _ in range(2))
    np.testing.assert_array_equal(once[0], again[0])


def test_first_batch_is_as_evaluation_delivers_it_and_first_images_are_clean():
    settings = config(corrupt="mask:0.5", **LABELLED)
    (inputs, labels), target = first_batch(labelled(), settings, SHAPE, "test", 7)
    expected = next(evaluation_batches(labelled(), settings, SHAPE, "test").as_numpy_iterator())
    for given, wanted in zip((inputs, labels, target), (*expected[0], expected[1]), strict=True):
        np.testing.assert_array_equal(given, wanted)
    np.testing.assert_array_equal(first_examples(labelled(), settings, SHAPE, "test", 7), target)


def test_rows_pass_as_they_are():
    rows = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    np.testing.assert_array_equal(evaluated(ArraySource(rows, None, 1.0), config(), (2,)), rows)


# Where training resumes


def first_batches(start, shard=NO_SHARDING, skip=0, **settings):
    """The first seven batches of the dataset from `start` on, after some that are skipped."""
    examples = grey(0.5, count=18)  # batches of 8, 8 and 2
    dataset = training_batches(examples, config(batch_size=8, **settings), SHAPE, shard, start)
    return list(dataset.skip(skip * shard.num_local_replicas).take(7).as_numpy_iterator())


@pytest.mark.parametrize(
    "shard", [NO_SHARDING, Shard(0, 2, 3), Shard(2, 1, 3)], ids=["whole", "two-of-three", "one-of-three"]
)
@pytest.mark.parametrize("start", [*(pytest.param(start, marks=pytest.mark.slow) for start in (1, 2, 4, 8)), 3, 30])
def test_batches_from_a_step_on_are_those_of_a_run_that_came_there(start, shard):
    settings = {"binarize": "dynamic", "flip": True, "seed": 3}
    expected = first_batches(0, shard, skip=start, **settings)

    for batch, wanted in zip(first_batches(start, shard, **settings), expected, strict=True):
        np.testing.assert_array_equal(batch, wanted)


def test_corruption_from_a_step_on_is_that_of_a_run_that_came_there():
    expected = first_batches(0, skip=4, corrupt="gaussian:0.3")

    for (inputs, _), (wanted, _) in zip(first_batches(4, corrupt="gaussian:0.3"), expected, strict=True):
        np.testing.assert_array_equal(inputs, wanted)
