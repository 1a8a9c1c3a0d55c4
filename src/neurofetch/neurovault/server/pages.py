"""Read a list of the server to its end, page by page, and believe little of what it says.

``count`` may lie, so may ``next``; pages of unordered lists repeat and miss rows; one broken record
turns each page that holds it into a 500. What counts are the rows that come: the next page begins
after them, a 500 is halved until one record is left, and a list whose rows are fewer than its
``count`` is read once more with other page boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from neurofetch._threads import together
from neurofetch.errors import ServerError
from neurofetch.neurovault.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AskPage", "Broken", "BrokenPageError", "Page", "Scroll"]

_Row = TypeVar("_Row", bound=Record)
_BROKEN_IN_A_ROW = 5
"""So many broken records one after another are a broken server."""
_PASSES = 3


class BrokenPageError(ServerError):
    """A page that the server cannot make (500): perhaps for one record in it."""


class Page(NamedTuple, Generic[_Row]):
    """One page of a list.

    Parameters
    ----------
    rows : list of Record
    total : int
        What the server says that there is.
    more : bool
        Whether it says that there is another page.
    """

    rows: list[_Row]
    total: int
    more: bool


class AskPage(Protocol[_Row]):
    """Asks for one page."""

    def __call__(self, offset: int, limit: int) -> Page[_Row]:
        """Return the page.

        Raises
        ------
        BrokenPageError
            When the answer is a 500; with a limit of 1, after several attempts.
        """


@dataclass(frozen=True)
class Broken:
    """A record that the server cannot show.

    Parameters
    ----------
    offset : int
        Its place in the list.
    before, after : int or None
        The ids of its neighbours.
    """

    offset: int
    before: int | None = None
    after: int | None = None


class _Span(NamedTuple, Generic[_Row]):
    rows: list[_Row | Broken]
    total: int
    ended: bool


@dataclass
class Scroll(Generic[_Row]):
    """One list, read as it is iterated over: each step gives the new rows that came.

    Parameters
    ----------
    ask : callable
        See `AskPage`.
    limit : int
        Rows to ask for at once.
    width : int
        Pages to ask for at once, from the second on.

    Attributes
    ----------
    broken : list of Broken
        Records that could not be read.
    clean : bool
        Whether the list came to its end, whole.
    """

    ask: AskPage[_Row]
    limit: int
    width: int = 1
    broken: list[Broken] = field(default_factory=list)
    clean: bool = False
    _seen: set[int] = field(default_factory=set)
    _total: int = 0
    _pages: int = 0

    def __iter__(self) -> Iterator[list[_Row]]:
        limit = self.limit
        for number in range(_PASSES):
            known, step = len(self._seen), 0
            for rows in self._once(limit, note=number == 0):
                step = step or len(rows)
                if fresh := self._fresh(rows):
                    yield fresh
            if not self._worth_another(known if number else -1):
                return
            limit = min(step, limit) * 2 // 3 | 1  # odd: its multiples are not those from before

    def _worth_another(self, known: int) -> bool:
        """Whether another pass may find rows that this one missed."""
        found = len(self._seen) + len(self.broken)
        return self._pages > 1 and found < self._total and len(self._seen) > known

    def _once(self, limit: int, *, note: bool) -> Iterator[list[_Row]]:
        """Read the list from its first row to its last."""
        self._pages, self.clean = 0, False
        first = _span(self.ask, 0, limit)
        self._total, at, last = first.total, len(first.rows), None
        spans, ended = [first], first.ended
        step, here = max(1, at), set[int]()
        while True:
            for span in spans:
                self._pages += bool(span.rows)
                last = self._note(span, last, note=note)
                yield [row for row in span.rows if not isinstance(row, Broken)]
                ended = ended or span.ended
                here.update(row["id"] for row in span.rows if isinstance(row, dict))
            if ended:
                yield from self._beyond(at, step)
                self.clean = True
                return
            offsets = self._offsets(at, step)
            calls = [partial(_span, self.ask, offset, step) for offset in offsets]
            spans = together(calls, self.width)
            if _goes_round(spans, here):
                return
            at = offsets[-1] + step

    def _beyond(self, at: int, step: int) -> Iterator[list[_Row]]:
        """Look once past the end of a list of several pages that gave less than it counts."""
        if self._pages > 1 and len(self._seen) + len(self.broken) < self._total:
            rows = _span(self.ask, at, step).rows
            yield [row for row in rows if not isinstance(row, Broken)]

    def _offsets(self, at: int, step: int) -> list[int]:
        """Return where the next pages begin: as many at once as `count` lets expect."""
        ahead = range(at, at + step * self.width, step)
        return [offset for offset in ahead if offset == at or offset < self._total]

    def _note(self, span: _Span[_Row], last: int | None, *, note: bool) -> int | None:
        """Keep the broken records with the ids around them; return the last id."""
        for shown_url, row in enumerate(span.rows):
            if isinstance(row, dict):
                last = row["id"]
            elif note:
                later = (r["id"] for r in span.rows[shown_url:] if isinstance(r, dict))
                self.broken.append(Broken(row.offset, last, next(later, None)))
        return last

    def _fresh(self, rows: list[_Row]) -> list[_Row]:
        fresh: list[_Row] = []
        for row in rows:
            if row["id"] not in self._seen:
                self._seen.add(row["id"])
                fresh.append(row)
        return fresh


def _goes_round(spans: list[_Span[_Row]], known: set[int]) -> bool:
    """Whether a list that says that it goes on brings nothing but what came before."""
    rows = [row for span in spans for row in span.rows]
    stale = all(isinstance(row, dict) and row["id"] in known for row in rows)
    return bool(rows) and stale and not any(span.ended for span in spans)


def _span(ask: AskPage[_Row], start: int, length: int) -> _Span[_Row]:
    """Return the rows from `start` on, about `length` of them, around those that are broken.

    A page that fails is halved; what is left of it after a half that came is halved again.
    """
    rows: list[_Row | Broken] = []
    at, bad_until, in_a_row, total = start, start, 0, 0
    while at < start + length:
        size = max(1, (bad_until - at) // 2) if at < bad_until else start + length - at
        try:
            page = ask(offset=at, limit=size)
        except BrokenPageError:
            bad_until = at + size
            if size > 1:
                continue
            rows.append(Broken(at))
            at, in_a_row = at + 1, in_a_row + 1
            if in_a_row >= _BROKEN_IN_A_ROW:
                raise
            continue
        rows += page.rows
        if not page.more or not page.rows:  # an empty page in the middle is a careless one
            return _Span(rows, page.total, ended=not page.more or at == start)
        at, total, in_a_row = at + len(page.rows), page.total, 0
        if start == 0 and bad_until == start:
            break  # perhaps shorter than we asked: that is how long the server's pages are
    return _Span(rows, total, ended=False)
