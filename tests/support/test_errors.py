import pytest

from vae_tf.support.errors import InputError, escape_unprintable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat.png", "cat.png"),
        ("größe 猫\u3000🐈.png", "größe 猫\u3000🐈.png"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("a\x1b[31m\x00\x7f\x9b", r"a\x1b[31m\x00\x7f\x9b"),
        ("a\u2028b\x85", r"a\u2028b\x85"),
        (b"\xff.png".decode("utf-8", "surrogateescape"), r"\udcff.png"),
    ],
)
def test_a_printable_name_is_one_line_that_can_be_encoded(text, shown):
    assert escape_unprintable(text) == shown
    assert len(shown.encode().splitlines()) == 1


def test_an_error_is_one_line_that_can_be_encoded():
    assert str(InputError("a\nb \x1b\udcff")) == r"a b \x1b\udcff"
