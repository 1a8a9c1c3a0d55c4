"""Read a list of the server to its end, page by page, without trusting its counts and links.

The server's ``count`` and ``next`` may be wrong. Lists without an order repeat rows and miss rows.
One broken record makes every page that holds it fail with status 500. So only the rows that come
count: the next page begins after them, a page that fails is halved until one record is left, and a
list that gave fewer rows than its ``count`` is read once more with other page boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from neurofetch._threads import together
from neurofetch.errors import ServerError
from neurofetch.neurovault.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["AskPage", "BrokenPageError", "BrokenRecord", "Page", "PagedList"]

_Row = TypeVar("_Row", bound=Record)
_BROKEN_IN_A_ROW = 5
"""After so many broken records one after another, the server counts as broken."""
_PASSES = 3


class BrokenPageError(ServerError):
    """A page that the server cannot make (status 500), perhaps because of one record in it."""


class Page(NamedTuple, Generic[_Row]):
    """One page of a list.

    Parameters
    ----------
    rows : list of Record
    total : int
        How many rows the whole list has, as the server says.
    more : bool
        Whether the server says that there is another page.
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
            When the response has status 500; with a limit of 1, only after several attempts.
        """


@dataclass(frozen=True)
class BrokenRecord:
    """A record that the server cannot show.

    Parameters
    ----------
    offset : int
        Its place in the list.
    before, after : int or None
        The ids of the records beside it.
    """

    offset: int
    before: int | None = None
    after: int | None = None


class _Span(NamedTuple, Generic[_Row]):
    """Rows of a list that follow one another."""

    rows: list[_Row | BrokenRecord]
    total: int
    ended: bool


@dataclass
class PagedList(Generic[_Row]):
    """One list, read while you iterate over it: each step gives the new rows that came.

    Parameters
    ----------
    ask : callable
        See `AskPage`.
    limit : int
        Rows to ask for at once.
    width : int
        Pages to ask for at once, from the second page on.
    meanwhile : callable, optional
        Called now and then while several are asked for.

    Attributes
    ----------
    broken : list of BrokenRecord
        Records that could not be read.
    complete : bool
        Whether the list was read to its end.
    """

    ask: AskPage[_Row]
    limit: int
    width: int = 1
    meanwhile: Callable[[], None] | None = None
    broken: list[BrokenRecord] = field(default_factory=list)
    complete: bool = False
    _seen: set[int] = field(default_factory=set)
    _total: int = 0
    _pages: int = 0

    def __iter__(self) -> Iterator[list[_Row]]:
        limit = self.limit
        for number in range(_PASSES):
            known, step = len(self._seen), 0
            for rows in self._pass(limit, keep_broken=number == 0):
                step = step or len(rows)
                if new := self._new(rows):
                    yield new
            if not self._worth_another_pass(known if number else -1):
                return
            limit = min(step, limit) * 2 // 3 | 1  # odd: its multiples are not those from before

    def _worth_another_pass(self, known: int) -> bool:
        """Whether another pass may find rows that this one missed."""
        found = len(self._seen) + len(self.broken)
        return self._pages > 1 and found < self._total and len(self._seen) > known

    def _pass(self, limit: int, *, keep_broken: bool) -> Iterator[list[_Row]]:
        """Read the list from its first row to its last."""
        self._pages, self.complete = 0, False
        first = _span(self.ask, 0, limit)
        self._total, at, last = first.total, len(first.rows), None
        spans, ended = [first], first.ended
        step, seen = max(1, at), set[int]()
        while True:
            for span in spans:
                self._pages += bool(span.rows)
                if keep_broken:
                    last = self._keep_broken(span, last)
                yield [row for row in span.rows if not isinstance(row, BrokenRecord)]
                ended = ended or span.ended
                seen.update(row["id"] for row in span.rows if not isinstance(row, BrokenRecord))
            if ended:
                yield from self._beyond(at, step)
                self.complete = True
                return
            offsets = self._offsets(at, step)
            calls = [partial(_span, self.ask, offset, step) for offset in offsets]
            spans = together(calls, self.width, self.meanwhile)
            if _goes_round(spans, seen):
                return
            at = offsets[-1] + step

    def _beyond(self, at: int, step: int) -> Iterator[list[_Row]]:
        """Look once past the end of a list of several pages that gave less than its count."""
        if self._pages > 1 and len(self._seen) + len(self.broken) < self._total:
            rows = _span(self.ask, at, step).rows
            yield [row for row in rows if not isinstance(row, BrokenRecord)]

    def _offsets(self, at: int, step: int) -> list[int]:
        """Return where the next pages begin: several at once, as far as the count goes."""
        ahead = range(at, at + step * self.width, step)
        return [offset for offset in ahead if offset == at or offset < self._total]

    def _keep_broken(self, span: _Span[_Row], last: int | None) -> int | None:
        """Keep the broken records with the ids beside them; return the last id of the span."""
        for place, row in enumerate(span.rows):
            if isinstance(row, BrokenRecord):
                later = (r["id"] for r in span.rows[place:] if not isinstance(r, BrokenRecord))
                self.broken.append(BrokenRecord(row.offset, last, next(later, None)))
            else:
                last = row["id"]
        return last

    def _new(self, rows: list[_Row]) -> list[_Row]:
        new: list[_Row] = []
        for row in rows:
            if row["id"] not in self._seen:
                self._seen.add(row["id"])
                new.append(row)
        return new


def _goes_round(spans: list[_Span[_Row]], seen: set[int]) -> bool:
    """Whether a list that says that it goes on gives only rows that came before."""
    rows = [row for span in spans for row in span.rows]
    old = all(not isinstance(row, BrokenRecord) and row["id"] in seen for row in rows)
    return bool(rows) and old and not any(span.ended for span in spans)


def _span(ask: AskPage[_Row], start: int, length: int) -> _Span[_Row]:
    """Return about `length` rows from `start` on, and mark those that are broken.

    A page that fails is halved. When a half came, what is left of the page is halved again.
    """
    rows: list[_Row | BrokenRecord] = []
    at, bad_until, in_a_row, total = start, start, 0, 0
    while at < start + length:
        size = max(1, (bad_until - at) // 2) if at < bad_until else start + length - at
        try:
            page = ask(offset=at, limit=size)
        except BrokenPageError:
            bad_until = at + size
            if size > 1:
                continue
            rows.append(BrokenRecord(at))
            at, in_a_row = at + 1, in_a_row + 1
            if in_a_row >= _BROKEN_IN_A_ROW:
                raise
            continue
        rows += page.rows
        if not page.more or not page.rows:  # an empty page in the middle is the server's mistake
            return _Span(rows, page.total, ended=not page.more or at == start)
        at, total, in_a_row = at + len(page.rows), page.total, 0
        if start == 0 and bad_until == start:
            break  # it may have fewer rows than asked: that is how long the server's pages are
    return _Span(rows, total, ended=False)
