"""A self-contained HTML page with inlined images and no scripts; readable offline, on a phone and in dark mode."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from vae_tf import plots
from vae_tf.support.redaction import redact


class Image(NamedTuple):
    """An image on the page.

    Attributes:
        png: Contents of the PNG file.
        alt: Description for readers who can't see the image.
        caption: Text below the image; may be empty.
        is_wide: Whether the image has its own row.
    """

    png: bytes
    alt: str
    caption: str = ""
    is_wide: bool = False


class Cell(NamedTuple):
    """A table cell. The text of a `"best"` cell is emphasized; the text of a `"note"` cell may wrap."""

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
        """Returns the table in aligned columns for a terminal, with an asterisk after the best values."""
        lines = [list(self.header), *([text + " *" * (kind == "best") for text, kind in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )


class Section(NamedTuple):
    """A section of the page."""

    title: str
    text: str = ""
    images: Sequence[Image] = ()
    table: Table | None = None


def image(figure: Figure, alt: str, caption: str = "", *, is_wide: bool = False) -> Image:
    """Returns a matplotlib figure as an image for the page."""
    file = io.BytesIO()
    plots.save(figure, file)
    return Image(file.getvalue(), alt, caption, is_wide)


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Returns the HTML of the page, with secrets redacted from its text.

    Args:
        title: Heading of the page.
        lead: Paragraph below the heading.
        sections: Sections below that paragraph.
    """
    environment = Environment(
        loader=PackageLoader("vae_tf.report", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: type(value)(redact(value)) if isinstance(value, str) else value,
    )
    environment.filters["redact"] = redact  # for text that the template splits before inserting it
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment.get_template("page.html.j2").render(title=title, lead=lead, sections=sections)


def format_number(value: float, error: float | None) -> str:
    """Returns `value ± error`, with two significant digits of the error and the value rounded to the same decimal.

    Args:
        value: The number.
        error: The standard error; `None`, 0 or NaN if there is none.
    """
    if not error or math.isnan(error):
        return f"{value:.4g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
