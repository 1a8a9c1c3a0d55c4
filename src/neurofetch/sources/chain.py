"""The pages of one listing, one after another, each once and to the last; never a part of them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from neurofetch.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from neurofetch.sources.page import Page

__all__ = ["Chain", "StalePlaceError", "in_query", "start_after"]

_IDLE_PAGES = 250
"""Pages, one after another, that bring nothing new. A bucket where much was deleted has some."""
_YES, _NO = frozenset({"true", "1", "yes", "t"}), frozenset({"false", "0", "no", "f"})


class StalePlaceError(ProtocolError):
    """The server does not take the token any more that it gave for the next page."""


class _Ask(Protocol):
    def __call__(self, place: str) -> Page: ...


def in_query(text: str) -> str:
    """Return a text as it stands in the query of a URL."""
    return quote(text, safe="", errors="surrogateescape")


def start_after(name: str) -> str:
    """Return the part of a query that asks for what follows a name, in both versions of it."""
    text = in_query(name)
    return f"&start-after={text}&marker={text}"


class Chain:
    """A walk through a listing from a place on.

    The end is where the server says so. A server that says that it goes on has to get on: a place
    in the listing that comes twice, or pages without end that bring nothing new, are errors, and
    not the end. A token that is not taken any more, since it has expired, begins nothing anew: the
    listing goes on after the last name that came. Where names come in another order than that of
    their letters, a name does not tell where it was, and the listing begins again, once.

    Parameters
    ----------
    ask : callable
        Returns a page, given the part of the query that says from where on.
    senseless : callable
        Returns the error for pages that cannot be a part of a listing.
    after : str
        The name after which to begin.
    """

    def __init__(
        self, ask: _Ask, senseless: Callable[[str], ProtocolError], after: str = ""
    ) -> None:
        self._ask = ask
        self._senseless = senseless
        self._after = self._last = after
        self._place = start_after(after) if after else ""
        self._orderly = True
        self._again = False
        self._seen = {"", self._place}

    def __iter__(self) -> Iterator[Page]:
        known = _Seen()
        while True:
            page = self._next()
            self._place = self.next_place(page)
            self._note(page)
            yield page
            if not self._place:
                return
            if self._place in self._seen:
                raise self._senseless("says that it goes on, and leads back to where it was")
            self._seen.add(self._place)
            if known.idle_after(page) > _IDLE_PAGES:
                raise self._senseless(f"goes on for {_IDLE_PAGES} pages without anything new")

    @property
    def goes_on(self) -> bool:
        """Whether the last page said that another follows."""
        return bool(self._place)

    def _next(self) -> Page:
        try:
            return self._ask(self._place)
        except StalePlaceError:
            if not self._last:
                raise
            if self._orderly:
                return self._ask(start_after(self._last))
            if self._again:
                raise
            self._again, self._seen = True, set()
            return self._ask(start_after(self._after) if self._after else "")

    def _note(self, page: Page) -> None:
        """Keep the last name, and whether all came in order; a folder may come twice."""
        for names in (page.files.keys, page.folders):
            if names and (
                names[0] < self._last or any(map(str.__gt__, names, islice(names, 1, None)))
            ):
                self._orderly = False
        self._last = max(self._last, page.last_name())

    def next_place(self, page: Page) -> str:
        """Return the part of the query that asks for the next page; "" where this is the last."""
        goes_on = page.goes_on
        if goes_on in _NO:
            return ""
        if goes_on not in _YES and (goes_on or not (page.token or page.marker)):
            if not goes_on:
                return ""  # one page, of a server that does not say so
            raise self._senseless(f"does not say whether it goes on: {goes_on[:40]!r}")
        if page.token:
            return f"&continuation-token={quote(page.token, safe='')}"
        # The first version of this request, which some servers speak whatever is asked: it goes
        # on after a key. `start-after` says the same to those that forgot only the token.
        after = page.marker or max(page.names(), default="")
        if not after:
            raise self._senseless("says that it goes on, but not how")
        return start_after(after)


class _Seen:
    """What a listing brought so far: whether a page brings anything new."""

    def __init__(self) -> None:
        self._last = ""
        self._names: set[str] = set()
        self._idle = 0

    def idle_after(self, page: Page) -> int:
        """Return how many pages up to this one, one after another, brought nothing new.

        Names come in order, so the last one tells. Where they do not, all have to be remembered.
        """
        last = page.last_name()
        if last > self._last:
            self._last, self._idle = last, 0
            return 0
        news = set(page.names()) - self._names
        self._names |= news
        self._idle = 0 if news else self._idle + 1
        return self._idle
