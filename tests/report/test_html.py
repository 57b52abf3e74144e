"""The page and its tables, read back as a browser would."""

from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from vae_tf.report import html
from vae_tf.report.html import Cell, Section, Table

TABLE = Table(["score", "a <b>", "unit"], [[Cell("elbo_x"), Cell("1 ± 2", "best"), Cell("nats")]])


class Elements(HTMLParser):
    """All start tags with their attributes, and all text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page():
    image = html.image(Figure((1, 1)), 'shows "all"', "below")
    return Elements(html.page("a & b", "lead", [Section("Part", "words", [image], TABLE)]))


def test_page_asks_for_nothing_from_elsewhere(page):
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert [image["src"][:22] for image in page.all("img")] == ["data:image/png;base64,"]


def test_every_image_says_what_it_shows(page):
    assert [image["alt"] for image in page.all("img")] == ['shows "all"']


def test_page_fits_a_phone_and_the_dark(page):
    metas = {meta.get("name"): meta.get("content") for meta in page.all("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in "".join(page.words)


def test_text_is_escaped(page):
    text = "".join(page.words)
    assert "a & b" in text
    assert "a <b>" in text
    assert page.all("b") == []


def test_what_is_best_is_emphasised(page):
    assert [cell.get("class") for cell in page.all("td")] == ["best", None]


def test_long_names_may_break_at_their_underscores(page):
    assert len(page.all("wbr")) == 1


def test_markdown_table_has_a_rule_below_the_header_and_bold_winners():
    assert TABLE.markdown().splitlines() == [
        "| score | a <b> | unit |",
        "| --- | --- | --- |",
        "| elbo_x | **1 ± 2** | nats |",
    ]


def test_text_table_is_aligned():
    assert TABLE.text().splitlines() == ["score   a <b>    unit", "elbo_x  1 ± 2 *  nats"]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-250.049, 1.63, "-250.0 ± 1.6"),
        (0.0216489, 0.000251, "0.02165 ± 0.00025"),
        (12345.6, 123.4, "12346 ± 123"),
        (3, 9.96, "3.0 ± 10.0"),
        (0.5, 0.0, "0.5"),
        (1 / 3, None, "0.3333"),
        (1.0, float("nan"), "1"),
    ],
)
def test_number_has_the_digits_that_its_error_allows(value, error, text):
    assert html.format_number(value, error) == text
