"""Tables as CSV files."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    r"""Writes a table as CSV (RFC 4180) in UTF-8; bytes of file names that are not UTF-8 are escaped, as in `\udcff`.

    Args:
        path: The file.
        header: Names of the columns.
        rows: The values of each row.
    """
    # Lines end with \r\n, so that every version of Python quotes values that contain one of the two.
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
