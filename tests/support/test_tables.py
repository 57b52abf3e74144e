import csv
import os

import pytest

from vae_tf.support.tables import write_csv


@pytest.mark.parametrize("name", ["a.png", "a\rb.png", "a\nb.png", "a\r\nb.png", 'a,"b".png', "猫.png", "\x1b\x00.png"])
def test_a_value_comes_back_whatever_its_characters(tmp_path, name):
    write_csv(tmp_path / "t.csv", ["file", "elbo"], [(name, 1), ("b.png", 2)])

    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["file", "elbo"], [name, "1"], ["b.png", "2"]]


def test_bytes_that_are_not_utf8_are_escaped(tmp_path):
    write_csv(tmp_path / "t.csv", ["file"], [(os.fsdecode(b"caf\xe9.png"),)])

    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "file\ncaf\\udce9.png\n"
