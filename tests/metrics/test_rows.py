"""What stands in for sample quality where the examples are rows."""

import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.metrics.generation import sliced_wasserstein
from vae_tf.metrics.rows import RowSampleMetrics
from vae_tf.metrics.suite import EvaluationContext
from vae_tf.support.errors import InputError

CONFIG = RunConfig(dataset="moons")


@pytest.fixture(scope="module")
def context():
    splits = load_splits(CONFIG)
    model = vae_tf.build_vae((2,), 2, "dense", "plain", "gaussian", hidden_sizes=(4,), sigma=0.5)
    return EvaluationContext(CONFIG, splits, "test", splits.test, model, 3)


@pytest.fixture(scope="module")
def judge(context):
    return RowSampleMetrics(context, load_splits(CONFIG).train_and_val, "classifier")


@pytest.fixture(scope="module")
def references(judge):
    return judge.reference_metrics()


def rows(examples):
    return examples.read(np.arange(len(examples)))


def test_the_model_is_judged_by_its_draws(context, judge):
    estimate = judge.model_metrics()["sliced_wasserstein"]
    drawn = context.model.sample(2_000, 3, mean=False)
    assert estimate.value == pytest.approx(sliced_wasserstein(rows(context.examples), drawn, 3))
    assert (estimate.num_examples, estimate.num_samples) == (2_000, 2_000)


def test_the_floor_is_as_many_training_rows(context, references):
    floor = references["train_rows"]["sliced_wasserstein"].value
    train = rows(load_splits(CONFIG).train_and_val)[:2_000]
    assert floor == pytest.approx(sliced_wasserstein(rows(context.examples), train, 3))


def test_simple_generators_are_farther_than_the_data_from_itself(references):
    values = {name: row["sliced_wasserstein"].value for name, row in references.items()}
    assert set(values) == {"train_rows", "gaussian", "gaussian_mixture"}
    assert values["train_rows"] < values["gaussian_mixture"] < values["gaussian"]


def test_a_normal_distribution_is_not_cut_off(references):
    """Of images the simple generators stay in [0, 1]; the moons do not."""
    assert references["gaussian"]["sliced_wasserstein"].value < 0.2


def test_features_of_images_are_refused(context):
    with pytest.raises(InputError, match="features=inception applies only to images"):
        RowSampleMetrics(context, load_splits(CONFIG).train_and_val, "inception")
