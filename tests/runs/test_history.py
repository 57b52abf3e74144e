"""The rows of history.csv."""

import pytest

from vae_tf.runs.history import read_rows, write_rows

ROWS = [{"epoch": 1, "loss": 2.5, "seconds": 0.125}, {"epoch": 2, "loss": 1.0 / 3.0, "seconds": 0.25}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.csv"


def test_history_has_a_header_and_a_line_per_epoch(path):
    write_rows(path, ROWS)
    assert path.read_text().splitlines() == [
        "epoch,loss,seconds",
        "1,2.5,0.125",
        "2,0.3333333333333333,0.25",
    ]


def test_values_that_some_epochs_lack_are_blank(path):
    rows = [{"epoch": 1, "loss": 2.5}, {"epoch": 2, "loss": 2.0, "kl_weight": 0.5}]
    write_rows(path, rows)
    assert read_rows(path) == rows
    assert path.read_text().splitlines() == ["epoch,loss,kl_weight", "1,2.5,", "2,2.0,0.5"]


def test_the_name_of_a_stage_is_text(path):
    rows = [{"stage": "vae", "epoch": 1, "loss": 2.5}]
    write_rows(path, rows)
    assert read_rows(path) == rows
