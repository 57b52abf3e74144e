"""The history of a run as CSV, with one row per epoch; missing values are blank."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]  # numbers keyed by column, and the name of the stage if there are several

_TYPES: dict[str, Any] = {"stage": str, "epoch": int}  # all other columns contain floats


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes rows as CSV; the columns are the union over all rows."""
    columns = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[Row]:
    """Returns the rows that `write_rows` wrote, without blank values.

    Raises:
        OSError, TypeError, ValueError: The file is missing, damaged or empty.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            {name: _TYPES.get(name, float)(value) for name, value in row.items() if value != ""}
            for row in csv.DictReader(file)
        ]
    if not rows or "epoch" not in rows[0]:
        raise ValueError("no rows")
    return rows
