"""The sentences below the table of metrics say what holds for the runs that are compared."""

from types import SimpleNamespace

import pytest

from vae_tf.report.comparison_page import table_notes
from vae_tf.report.metric_comparison import Group

BEST, SINGLE_SEED = "The best value is marked", "With a single seed"


def comparison(*groups, sampler="prior", rows=()):
    """A comparison of groups of runs, each a list of names."""
    settings = SimpleNamespace(metrics={"settings": {"sampler": sampler}})
    return SimpleNamespace(
        groups=[Group(f"group {group[0]}", group, f"group {group[0]}") for group in groups],
        evaluations={name: settings for group in groups for name in group},
        rows=[SimpleNamespace(name=name, note=note, incomparable_reason=reason) for name, note, reason in rows],
    )


def has(notes, beginning):
    return any(note.startswith(beginning) for note in notes)


def test_one_group_has_nothing_to_be_better_than():
    notes = table_notes(comparison(["a"]))

    assert not has(notes, BEST)
    assert not has(notes, SINGLE_SEED)


@pytest.mark.parametrize(("groups", "warns"), [((["a"], ["b", "c"]), True), ((["a", "b"], ["c", "d"]), False)])
def test_groups_with_a_single_seed_have_a_caution(groups, warns):
    notes = table_notes(comparison(*groups))

    assert has(notes, BEST)
    assert has(notes, SINGLE_SEED) == warns


@pytest.mark.parametrize(("sampler", "count"), [("prior", 0), (None, 0), ("gmm", 2)])
def test_runs_whose_samples_come_from_a_sampler_are_listed(sampler, count):
    notes = table_notes(comparison(["a"], ["b"], sampler=sampler))

    assert sum("come from its gmm sampler" in note for note in notes) == count


def test_options_that_are_too_long_for_a_label_are_listed():
    two = comparison(["a"], ["b"])
    two.groups[0] = Group("run a", ("a",), "dense, beta=2.0")
    assert [note for note in table_notes(two) if ": " in note] == ["run a: dense, beta=2.0."]


def test_notes_and_reasons_are_given_once():
    rows = [("elbo", "a note", ""), ("nll", "", "different data: a and b"), ("kl_loss", "", "different data: a and b")]
    notes = table_notes(comparison(["a"], ["b"], rows=rows))

    assert notes[-2:] == ["elbo: a note.", "Not compared: nll, kl_loss (different data: a and b)."]
