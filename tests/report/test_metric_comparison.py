import numpy as np
import pytest
from scipy.stats import norm, sem, ttest_ind

from vae_tf.config import RunConfig
from vae_tf.report.metric_comparison import Evaluation, compare_metrics, group_runs
from vae_tf.support.errors import InputError

NUM_IMAGES = 400
HARDNESS = np.random.default_rng(0).normal(-250, 30, NUM_IMAGES)


def evaluation(score="elbo", shift=0.0, noise=0.0, seed=0, paired=True, value=None, settings=None, **changes):
    """An evaluation with one score: the images' common hardness, a shift, and noise of the run's own."""
    config = RunConfig(seed=seed, **{k: v for k, v in changes.items() if k in RunConfig.model_fields})
    values = HARDNESS + shift + noise * np.random.default_rng(seed + 1).standard_normal(NUM_IMAGES)
    entry = {"value": float(values.mean()), "unit": "nats", "standard_error": sem(values), "num_examples": NUM_IMAGES}
    metrics = {
        "dataset": config.dataset,
        "example_shape": changes.get("example_shape", [28, 28, 1]),
        "pictures_sha256": changes.get("sha256", "0" * 64),
        "settings": {"split": changes.get("split", "test")},
        "metrics": {score: {**entry, **({} if value is None else {"value": value}), **(settings or {})}},
    }
    return Evaluation(config, metrics, {score: values} if paired else {})


def compared(*evaluations):
    by_name = {f"run{number}": each for number, each in enumerate(evaluations)}
    (row,) = compare_metrics(group_runs([(name, each.config) for name, each in by_name.items()]), by_name)
    return row


def plain(**changes):
    return evaluation(variant="plain", **changes)


def bn(**changes):
    return evaluation(variant="bn", **changes)


def labels(*configs):
    return [group.label for group in group_runs([(str(n), RunConfig(**config)) for n, config in enumerate(configs)])]


def test_runs_that_differ_by_their_seed_are_one_group_in_the_order_of_the_seeds():
    runs = [("b", RunConfig(seed=2)), ("a", RunConfig(seed=1)), ("c", RunConfig(variant="plain", seed=1))]
    assert [group.runs for group in group_runs(runs)] == [("a", "b"), ("c",)]


@pytest.mark.parametrize("changes", [{"device": "cpu"}, {"sample_every": 5}])
def test_what_does_not_change_the_numbers_makes_no_group(changes):
    assert len(group_runs([("a", RunConfig(seed=1)), ("b", RunConfig(seed=2, **changes))])) == 1


def test_the_same_experiment_twice_is_refused():
    with pytest.raises(InputError, match=r"a and b, which have the same configuration and seed; leave one out"):
        group_runs([("a", RunConfig(seed=1)), ("b", RunConfig(seed=1))])


def test_labels_name_what_sets_the_groups_apart():
    assert labels({"variant": "plain"}, {"variant": "bn"}) == ["plain", "bn"]
    assert labels({"latent_dim": 2}, {"latent_dim": 3}) == ["latent_dim=2", "latent_dim=3"]
    assert labels({"arch": "dense", "beta": 2}, {"beta": 1}) == ["dense, beta=2.0", "conv, beta=1.0"]
    assert labels({"arch": "dense"}) == ["dense, bn"]


def test_options_of_a_part_are_in_the_label_if_they_differ_between_groups_with_the_part():
    dense = [{"arch": "dense", "hidden_sizes": (size,)} for size in (6, 7)]
    assert labels(*dense, {"arch": "conv"}) == ["dense, hidden_sizes=(6,)", "dense, hidden_sizes=(7,)", "conv"]


def test_a_group_whose_options_are_too_long_for_a_title_is_labelled_with_its_first_run():
    long = {"arch": "dense", "likelihood": "continuous_bernoulli", "learning_rate_schedule": "exponential"}
    runs = [("runs/a", RunConfig(seed=1, **long)), ("runs/b", RunConfig()), ("runs/c", RunConfig(**long))]
    groups = group_runs(runs)
    assert [group.label for group in groups] == ["c", "b"]
    assert groups[0].options == "dense, continuous_bernoulli, learning_rate_schedule=exponential"
    assert groups[1].options == "conv, bernoulli, learning_rate_schedule=constant"


def test_runs_in_folders_of_the_same_name_are_labelled_with_their_paths():
    long = {"arch": "dense", "likelihood": "continuous_bernoulli", "learning_rate_schedule": "exponential"}
    groups = group_runs([("here/run", RunConfig(**long)), ("there/run", RunConfig())])
    assert [group.label for group in groups] == ["here/run", "there/run"]


def test_group_has_mean_and_standard_deviation_over_seeds():
    row = compared(*(plain(shift=shift, seed=seed) for seed, shift in enumerate((0, 1, 5))))
    pooled = row.groups["conv, plain"]
    values = HARDNESS.mean() + np.array([0, 1, 5])
    assert pooled.mean == pytest.approx(values.mean())
    assert pooled.seeds_sd == pytest.approx(np.std(values, ddof=1))
    assert pooled.num_runs == 3


def test_difference_pairs_the_images():
    row = compared(plain(shift=1, noise=0.5, seed=0), bn(noise=0.5, seed=1))
    size, error, _ = row.differences[("plain", "bn")]
    noises = [0.5 * np.random.default_rng(seed + 1).standard_normal(NUM_IMAGES) for seed in (0, 1)]
    assert size == pytest.approx(1 + noises[0].mean() - noises[1].mean())
    assert error == pytest.approx(sem(noises[0] - noises[1]))
    assert error < sem(HARDNESS) / 10


def test_difference_without_pairs_adds_both_errors():
    row = compared(plain(paired=False), bn(paired=False))
    assert row.differences[("plain", "bn")].standard_error == pytest.approx(np.sqrt(2) * sem(HARDNESS))


def test_difference_counts_the_spread_between_seeds():
    seeds = [plain(shift=shift, seed=seed) for seed, shift in enumerate((0, 2))]
    others = [bn(shift=shift, seed=seed) for seed, shift in enumerate((0, 4))]
    error = compared(*seeds, *others).differences[("plain", "bn")].standard_error
    assert error == pytest.approx(np.sqrt(2 / 2 + 8 / 2))


def test_margin_of_a_few_seeds_is_that_of_welch():
    shifts, other_shifts = (0.0, 2.0, 3.0), (1.0, 5.0, 6.0, 9.0)
    seeds = [plain(shift=shift, seed=seed) for seed, shift in enumerate(shifts)]
    others = [bn(shift=shift, seed=seed) for seed, shift in enumerate(other_shifts)]
    difference = compared(*seeds, *others).differences[("plain", "bn")]
    interval = ttest_ind(shifts, other_shifts, equal_var=False).confidence_interval(0.95)
    assert (difference.value - difference.margin, difference.value + difference.margin) == pytest.approx(interval)


def test_margin_of_single_runs_is_that_of_the_normal_distribution():
    difference = compared(plain(noise=1), bn(noise=1, seed=1)).differences[("plain", "bn")]
    assert difference.margin == pytest.approx(norm.ppf(0.975) * difference.standard_error)


@pytest.mark.parametrize(
    ("score", "winner"),
    [
        ("elbo", "bn"),
        ("nll", "plain"),
        ("kl_loss", None),
        ("probe_accuracy_latents", "bn"),
        ("class_left_in_latents", None),
    ],
)
def test_winner_depends_on_what_is_better(score, winner):
    assert compared(plain(score=score), bn(score=score, shift=1, noise=0.1)).winner == winner


@pytest.mark.parametrize(("noise", "winner"), [(0.1, "bn"), (100, None)])
def test_there_is_a_winner_only_beyond_the_margin(noise, winner):
    row = compared(plain(), bn(shift=1, noise=noise, seed=0))
    difference = row.differences[("plain", "bn")]
    assert (abs(difference.value) > difference.margin) == (winner is not None)
    assert row.winner == winner


def test_winner_is_ahead_of_every_other_group():
    third = evaluation(latent_dim=2, variant="bn", shift=1, noise=0.1)
    assert compared(plain(), bn(shift=1, noise=0.1, seed=3), third).winner is None
    assert compared(plain(), bn(shift=2, noise=0.1, seed=3), third).winner == "bn, latent_dim=128"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "mnist"}, "different data: fashion_mnist_sample and mnist"),
        ({"example_shape": [50, 50, 1]}, "different image shapes: 28x28x1 and 50x50x1"),
        ({"split": "val"}, "different splits: test and val"),
        ({"binarize": "static"}, "different binarization: none and static"),
        ({"sha256": "f" * 64}, "different images, by their SHA-256: 00000000 and ffffffff"),
        ({"likelihood": "gaussian"}, "different likelihoods: bernoulli and gaussian"),
        ({"settings": {"num_examples": 7}}, "different numbers of images: 400 and 7"),
        ({"settings": {"num_samples": 7}}, "different numbers of samples: None and 7"),
    ],
)
def test_numbers_of_different_things_are_refused_with_the_reason(changes, reason):
    row = compared(plain(), bn(**changes))
    assert row.incomparable_reason == reason
    assert (row.groups, row.winner) == ({}, None)


def test_another_likelihood_leaves_what_does_not_depend_on_it():
    row = compared(plain(score="reconstruction_mse"), bn(score="reconstruction_mse", likelihood="gaussian"))
    assert row.incomparable_reason == ""


def test_a_score_that_one_run_lacks_is_refused():
    by_name = {"a": plain(score="elbo"), "b": bn(score="elbo")}
    by_name["b"].metrics["metrics"]["nll"] = by_name["b"].metrics["metrics"]["elbo"]
    refused = {
        row.name: row.incomparable_reason
        for row in compare_metrics(group_runs([(n, e.config) for n, e in by_name.items()]), by_name)
    }
    assert refused == {"elbo": "", "nll": "missing from some runs"}
