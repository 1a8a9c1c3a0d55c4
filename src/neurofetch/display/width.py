"""How wide a text is on a screen, and how it is broken into lines. Pure.

A terminal gives most characters one column, East Asian wide ones two, and marks that combine with
the one before none. A text is shown (see `neurofetch._shown`) before it is measured.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NARROWEST", "WIDTH", "columns_of", "padded", "wrapped"]

WIDTH = 80
"""Columns where nothing is known of the screen."""
NARROWEST = 50
"""Columns; numbers and words need so many. A narrower screen breaks the lines itself."""


def columns_of(text: str) -> int:
    """Return how many columns a text takes on a line.

    Examples
    --------
    >>> columns_of("sub-01"), columns_of("日本"), columns_of("e\u0301")
    (6, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(map(_columns_of_one, text))


def _columns_of_one(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled with spaces to a number of columns.

    Parameters
    ----------
    text : str
    width : int
    right : bool
        Whether the text is to stand at the right.
    """
    fill = " " * (width - columns_of(text))
    return fill + text if right else text + fill


def wrapped(text: str, width: int, *, indent: str = "", whole: Sequence[str] = ()) -> list[str]:
    """Return a text as lines that are no wider than `width`.

    It is broken at spaces. What is too wide for a line of its own, such as a long path, is left
    whole: a path that was broken cannot be copied.

    Parameters
    ----------
    text : str
        Of one line.
    width : int
    indent : str
        What the lines after the first begin with.
    whole : sequence of str
        What is not to be broken though it has spaces in it: a path, and the word before it that
        says what became of it, so that the line can be found by both.

    Examples
    --------
    >>> wrapped("note: one two three four", 14, indent="  ")
    ['note: one two', '  three four']
    """
    lines: list[str] = []
    line, empty = "", True
    for word in _words(text, whole):
        if not empty and columns_of(line) + 1 + columns_of(word) > width:
            lines.append(line.rstrip())
            line, empty = indent, True
        line += word if empty else f" {word}"
        empty = False
    return [*lines, line.rstrip()]


def _words(text: str, whole: Sequence[str]) -> list[str]:
    """Return what a text is made of where it may be broken."""
    for one in whole:
        before, found, after = text.partition(one)
        if found and " " in one:
            head, _, glued = before.rpartition(" ")
            tail, space, rest = after.partition(" ")
            first = _words(head, ()) if head else []
            return [*first, glued + one + tail, *(_words(rest, whole) if space else [])]
    return text.split(" ")
