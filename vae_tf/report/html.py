"""A self-contained HTML page: images are embedded, no network, no scripts, readable on a phone and in dark mode."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.support.redaction import redacted


class Picture(NamedTuple):
    """An image on the page.

    Attributes:
        png: Contents of the PNG file.
        alt: Description for readers who can't see the image.
        caption: Line under the image; may be empty.
        wide: Whether the image takes a row of its own.
    """

    png: bytes
    alt: str
    caption: str = ""
    wide: bool = False


class Cell(NamedTuple):
    """A table cell. The text of a `"best"` cell is emphasised; that of a `"note"` cell may wrap."""

    text: str
    kind: Literal["", "best", "note"] = ""


class Table(NamedTuple):
    """Rows of cells below a header; the first cell of each row is its name."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        """Returns the table in Markdown, with the best values in bold."""
        lines = [self.header, ["---"] * len(self.header)]
        lines += [[f"**{text}**" if kind == "best" else text for text, kind in row] for row in self.rows]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)

    def text(self) -> str:
        """Returns the table in aligned columns for a terminal, with a star after the best values."""
        lines = [list(self.header), *([text + " *" * (kind == "best") for text, kind in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


class Section(NamedTuple):
    """A section of the page."""

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    table: Table | None = None


def picture(figure: Figure, alt: str, caption: str = "", *, wide: bool = False) -> Picture:
    """Returns a matplotlib figure as an image for the page."""
    file = io.BytesIO()
    plots.save(figure, file)
    return Picture(file.getvalue(), alt, caption, wide)


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Returns the HTML of the page, with secrets redacted from its text.

    Args:
        title: Heading of the page.
        lead: Sentences below the heading.
        sections: Sections below the lead.
    """
    environment = Environment(
        loader=PackageLoader("vae_tf.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: type(value)(redacted(value)) if isinstance(value, str) else value,
    )
    environment.filters["redacted"] = redacted  # for text that is cut before it is inserted
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment.get_template("page.html.j2").render(title=title, lead=lead, sections=sections)


def number(value: float, error: float | None) -> str:
    """Returns `value ± error`, with two significant digits of the error and the value to the same decimal place.

    Args:
        value: The number.
        error: Its error; `None`, 0 or NaN if it has none.
    """
    if not error or math.isnan(error):
        return f"{value:.4g}"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"
