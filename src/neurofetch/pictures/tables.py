"""The first rows of a table, as text in a picture: participants, events, trials."""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from neurofetch._shown import shown
from neurofetch.pictures.drawing import INK, QUIET, figure, say
from neurofetch.pictures.reading import no_whole_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Table", "draw_table", "read_table"]

_ROWS, _COLUMNS, _LETTERS = 18, 8, 22
_LONGEST_LINE = 1 << 20


class Table(NamedTuple):
    """The beginning of a table.

    Parameters
    ----------
    header : list of str
    rows : list of list of str
    more_rows, more_columns : int
        How many are left out; rows are counted as far as is quick, and then -1.
    """

    header: list[str]
    rows: list[list[str]]
    more_rows: int
    more_columns: int


def read_table(path: Path) -> Table:
    """Read the first rows and columns of a table.

    Raises
    ------
    VerificationError
        If it cannot be read.
    """
    name = path.name.lower()
    opened: Any = gzip.open if name.endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
            lines = iter(lambda: file.readline(_LONGEST_LINE), "")
            rows = csv.reader(
                lines, delimiter="," if ".csv" in name else "\t", quoting=csv.QUOTE_MINIMAL
            )
            first = list(itertools.islice(rows, _ROWS + 1))
            counted = sum(1 for _ in itertools.islice(lines, 1_000_000))
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as exc:
        raise no_whole_file(path, exc, "a table") from exc
    header = first[0] if first else []
    return Table(
        [shown(cell) for cell in header[:_COLUMNS]],
        [[shown(cell) for cell in row[:_COLUMNS]] for row in first[1:]],
        counted if counted < 1_000_000 else -1,
        max(0, len(header) - _COLUMNS),
    )


def draw_table(table: Table, title: str, below: str) -> Any:
    """Return a figure with the beginning of a table."""
    columns = list(itertools.zip_longest(table.header, *table.rows, fillvalue=""))
    widths = [min(_LETTERS, max(len(cell) for cell in cells)) + 2 for cells in columns]
    width = max(5.5, 0.085 * sum(widths) + 0.6)
    height = 1.2 + 0.24 * (len(table.rows) + 1)
    fig = figure(width, height)
    say(fig, 0.25 / width, 1 - 0.18 / height, title, size=13, weight="bold")
    at = 0.25
    for cells, letters in zip(columns, widths, strict=True):
        number = all(_is_number(cell) for cell in cells[1:] if cell)
        right = at + 0.085 * (letters - 2)
        for row, cell in enumerate(cells):
            text = cell if len(cell) <= _LETTERS else cell[: _LETTERS - 1] + "…"
            say(
                fig, (right if number else at) / width, 1 - (0.78 + 0.24 * row) / height, text,
                size=9, family="monospace", va="baseline", ha="right" if number else "left",
                weight="bold" if not row else "normal", color=INK if row else QUIET,
            )  # fmt: skip
        at += 0.085 * letters
    rows = "more than a million" if table.more_rows < 0 else f"{table.more_rows:,}"
    left = [f"{rows} rows"] if table.more_rows else []
    left += [f"{table.more_columns:,} columns"] if table.more_columns else []
    told = f"left out: {' and '.join(left)}" if left else f"all {len(table.rows)} rows"
    words = " · ".join(part for part in (told, below) if part)
    say(fig, 0.25 / width, 0.28 / height, words, size=8, color=QUIET)
    return fig


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell == "n/a"
    return True
