import warnings

import numpy as np
import pytest

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.data.loading import load_splits
from vae_tf.data.pipeline import first_examples
from vae_tf.metrics.probe import linear_probe, probe_metrics
from vae_tf.metrics.suite import EvaluationContext

RNG = np.random.default_rng(0)


def two_classes(count, distance, seed, features=2):
    """Standard normal clouds whose centres lie `distance` apart along every feature."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    return rng.standard_normal((count, features)) + distance * labels[:, np.newaxis], labels


def test_accuracy_is_that_of_the_best_classifier():
    from scipy.stats import norm

    correct = linear_probe(*two_classes(4000, 1.5, seed=0), *two_classes(4000, 1.5, seed=1))
    best = norm.cdf(1.5 * np.sqrt(2) / 2)
    assert abs(correct.mean() - best) < 4 * np.sqrt(best * (1 - best) / 4000)


def test_features_are_standardized():
    (features, labels), (judged, judged_labels) = two_classes(300, 1.0, seed=0), two_classes(300, 1.0, seed=1)
    scale, shift = np.array([1e-3, 1e3]), np.array([5.0, -7.0])
    scaled = linear_probe(features * scale + shift, labels, judged * scale + shift, judged_labels)
    np.testing.assert_array_equal(scaled, linear_probe(features, labels, judged, judged_labels))


@pytest.mark.parametrize("distance", [0.0, 0.2, 50.0])
def test_probe_ends_without_a_warning_and_twice_the_same(distance):
    data = (*two_classes(200, distance, seed=0, features=300), *two_classes(50, distance, seed=1, features=300))
    data[0][:, :5] = 0.25  # as pixels at the border
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(linear_probe(*data), linear_probe(*data))


@pytest.fixture
def context(tmp_path):
    """Makes a context of an untrained model on images whose class is their brightness."""

    def make(split="test", seed=0, num_classes=3, labelled=True, **changes):
        labels = np.arange(240) % num_classes
        images = (RNG.random((240, 40, 8)) * 30 + labels[:, None, None] * 200 // num_classes).astype(np.uint8)
        classes = {"y_train": labels[:160], "y_test": labels[160:]} if labelled else {}
        np.savez(tmp_path / "data.npz", x_train=images[:160], x_test=images[160:], **classes)
        config = RunConfig(dataset="npz", data_dir=str(tmp_path / "data.npz"), seed=seed, **changes)
        splits = load_splits(config)
        model = vae_tf.build_vae(
            example_shape=(40, 8, 1), latent_dim=4, arch="dense", hidden_sizes=(8,), variant="plain",
            num_classes=num_classes if config.conditional else None,
        )  # fmt: skip
        return EvaluationContext(config, splits, split, splits.test if split == "test" else splits.val, model, 0)

    return make


def scores_of(context):
    return probe_metrics(context, context.splits.train_and_val)


@pytest.mark.parametrize(("split", "trained_on", "judged"), [("test", 160, 80), ("val", 144, 16)])
def test_what_is_judged_is_not_trained_on(context, split, trained_on, judged):
    scores, references = scores_of(context(split))
    for score in (scores, *references.values()):
        (estimate,) = score.values()
        assert estimate.num_examples == judged
        assert estimate.note == f"logistic regression on {trained_on} training examples"


def test_accuracy_is_the_mean_of_the_correct_ones(context):
    _, references = scores_of(context())
    (estimate,) = references["pixels"].values()
    assert set(np.unique(estimate.per_example)) <= {0, 1}
    assert estimate.value == estimate.per_example.mean() == 1


def test_references_are_the_same_for_every_seed_of_a_run(context, tmp_path):
    first = context()
    config = first.config.model_copy(update={"seed": 7})
    second = first._replace(config=config, splits=load_splits(config))
    assert scores_of(first)[1] == scores_of(second)[1]


@pytest.mark.parametrize("changes", [{"labelled": False}, {"num_classes": 1}, {"num_classes": 120}])
def test_there_is_no_probe_without_classes_to_tell_apart(context, changes):
    assert scores_of(context(**changes)) == ({}, {})


def test_what_a_conditional_encoder_was_given_is_another_score(context):
    scores, references = scores_of(context(conditional=True))
    assert set(scores) == set(references["pca"]) == {"class_left_in_latents"}
    assert "the encoder is given the class" in scores["class_left_in_latents"].note


def test_a_dataset_with_official_folds_is_probed_by_its_protocol(stl10):
    config = RunConfig(
        dataset="stl10", data_dir=str(stl10), image_size=8, arch="dense", hidden_sizes=(8,), latent_dim=3
    )
    splits = load_splits(config)
    model = vae_tf.build_vae(splits.spec.example_shape, 3, "dense", hidden_sizes=(8,))
    train = load_splits(config).train_and_val
    scores, _ = probe_metrics(EvaluationContext(config, splits, "test", splits.test, model, 0), train)
    means, labels, judged = (
        model.encode(first_examples(part, config, (8, 8, 3), "test", 100)) if part is not None else train.labels
        for part in (train, None, splits.test)
    )
    folds = [np.loadtxt(stl10 / "fold_indices.txt", dtype=int)[number] for number in range(10)]
    expected = [linear_probe(means[fold], labels[fold], judged, splits.test.labels).mean() for fold in folds]
    assert scores["probe_accuracy_latents"].value == pytest.approx(np.mean(expected))
    assert "mean over 10 official folds of 10 training examples" in scores["probe_accuracy_latents"].note
