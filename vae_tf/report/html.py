"""One self-contained HTML page: pictures inside, no network, no script, readable on a phone and in the dark."""

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
    """A figure of the page.

    Attributes:
        png: The file's bytes.
        alt: What it shows, for who can't see it.
        caption: The line below, or an empty text.
        wide: Takes a row of its own.
    """

    png: bytes
    alt: str
    caption: str = ""
    wide: bool = False


class Cell(NamedTuple):
    """A cell of a table; `"best"` is emphasised, a `"note"` may break into lines."""

    text: str
    kind: Literal["", "best", "note"] = ""


class Table(NamedTuple):
    """Rows of cells below a header; the first cell names its row."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def markdown(self) -> str:
        """Returns the table in Markdown, what is best in bold."""
        lines = [self.header, ["---"] * len(self.header)]
        lines += [[f"**{text}**" if kind == "best" else text for text, kind in row] for row in self.rows]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)

    def text(self) -> str:
        """Returns the table in aligned columns for a terminal, what is best with a star."""
        lines = [list(self.header), *([text + " *" * (kind == "best") for text, kind in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


class Section(NamedTuple):
    """A part of the page."""

    title: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    table: Table | None = None


def picture(figure: Figure, alt: str, caption: str = "", *, wide: bool = False) -> Picture:
    """Returns a matplotlib figure as a figure of the page."""
    file = io.BytesIO()
    plots.save(figure, file)
    return Picture(file.getvalue(), alt, caption, wide)


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Returns the page, with what is secret left out of its texts.

    Args:
        title: Its heading.
        lead: The sentences below.
        sections: The rest.
    """
    environment = Environment(
        loader=PackageLoader("vae_tf.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: type(value)(redacted(value)) if isinstance(value, str) else value,
    )
    environment.filters["redacted"] = redacted  # for a text that is cut up before it is put in
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment.get_template("page.html.j2").render(title=title, lead=lead, sections=sections)


def number(value: float, error: float | None) -> str:
    """Returns `value ± error` with the error to two significant digits, and the value to as many places.

    Args:
        value: The number.
        error: Its error; `None`, 0 or NaN where it has none.
    """
    if not error or math.isnan(error):
        return f"{value:.4g}"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"
