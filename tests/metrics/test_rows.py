"""What stands in for sample quality where the examples are rows."""

import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.catalog import load_splits
from vae_tf.metrics.generation import sliced_wasserstein
from vae_tf.metrics.rows import RowSampleMetrics
from vae_tf.metrics.suite import Subject
from vae_tf.support.errors import InputError

CONFIG = RunConfig(dataset="moons")


@pytest.fixture(scope="module")
def subject():
    splits = load_splits(CONFIG)
    model = vae_tf.build_vae((2,), 2, "dense", "plain", "gaussian", hidden_sizes=(4,), sigma=0.5)
    return Subject(CONFIG, splits, "test", splits.test, model, 3)


@pytest.fixture(scope="module")
def judge(subject):
    return RowSampleMetrics(subject, load_splits(CONFIG).whole_train, "classifier")


def rows(examples):
    return examples.read(np.arange(len(examples)))


def test_the_model_is_judged_by_its_draws(subject, judge):
    estimate = judge.model_scores()["sliced_wasserstein"]
    drawn = subject.model.sample(2_000, 3, mean=False)
    assert estimate.value == pytest.approx(sliced_wasserstein(rows(subject.examples), drawn, 3))
    assert (estimate.num_examples, estimate.num_samples) == (2_000, 2_000)


def test_the_floor_is_as_many_training_rows(subject, judge):
    floor = judge.reference_scores()["train_rows"]["sliced_wasserstein"].value
    train = rows(load_splits(CONFIG).whole_train)[:2_000]
    assert floor == pytest.approx(sliced_wasserstein(rows(subject.examples), train, 3))


def test_simple_generators_are_farther_than_the_data_from_itself(judge):
    values = {name: row["sliced_wasserstein"].value for name, row in judge.reference_scores().items()}
    assert set(values) == {"train_rows", "gaussian", "gaussian_mixture"}
    assert values["train_rows"] < values["gaussian_mixture"] < values["gaussian"]


def test_a_normal_distribution_is_not_cut_off(judge):
    """Of pictures the simple generators stay in [0, 1]; the moons do not."""
    assert judge.reference_scores()["gaussian"]["sliced_wasserstein"].value < 0.2


def test_features_of_images_are_refused(subject):
    with pytest.raises(InputError, match="features=inception needs pictures"):
        RowSampleMetrics(subject, load_splits(CONFIG).whole_train, "inception")
