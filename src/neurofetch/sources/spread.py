"""One listing from several places at once: as one walk would bring it, in a fraction of the time.

A server lists 1,000 keys a request, and each request begins where the one before ended: a million
keys are a thousand round trips. But a listing may begin after any name. So where the first pages
show that there is much more, the folders that lie ahead are asked for (one request, with a
delimiter), and stretches of the listing that begin at some of them are walked at the same time.

Folders are only hints. What makes the result whole is the seam: a stretch ends where it comes upon
the first key of the next one, that very key; where it comes upon another, the next stretch is
dropped and the walk goes on itself. So it does not matter what a server understands by a delimiter,
or in which order it lists; one that cannot begin in the middle is walked as ever.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from neurofetch._threads import started
from neurofetch.errors import InterruptedTransferError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from neurofetch.model import RemoteFile

    Walk = Callable[[str], Iterator["Stride"]]
    """Gives one page after another, from after a name on."""
    Ahead = Callable[[str, str], list[str]]
    """Returns the folders directly below a folder and after a name, sorted."""

__all__ = ["DisorderError", "Spread", "Stride"]

FIRST = 4
"""Pages that a stretch brings before it is worth a request to see what lies ahead."""
WORTH = 3
"""Pages that each new stretch is likely to bring, at least."""
DEPTH = 6
"""Folders that are asked for at most, to see what lies ahead."""
_KEY = attrgetter("key")


class Stride(NamedTuple):
    """The files of one page, with their keys, and whether more follow."""

    keys: Sequence[str]
    files: list[RemoteFile]
    more: bool


class _Stretch:
    """A part of the listing, from after a name up to the first key of the next stretch."""

    def __init__(self, after: str) -> None:
        self.after = after
        self.files: list[RemoteFile] = []
        self.first: str | None = None
        """The first key; None until it has come."""
        self.next: _Stretch | None = None
        self.over = False
        """No more pages come: it met the next one, reached the end, or failed."""
        self.dropped = False
        self.error: BaseException | None = None
        self.orderly = True
        """Whether keys come in the order of their letters."""
        self.pages = 0
        self.look_at = FIRST
        """Pages after which it looks ahead."""


def _distinct(files: list[RemoteFile], start: int, length: int) -> int:
    """Return how many folders follow one another at a place of the keys; at least one."""
    count, last = 0, ""
    for number in range(start, len(files)):
        key = files[number].key
        folder = key[: key.find("/", length) + 1]
        if folder != last:
            count, last = count + 1, folder
    return max(1, count)


def _has_begun(stretch: _Stretch) -> bool:
    return stretch.first is not None or stretch.over


class DisorderError(Exception):
    """Keys came in another order than that of their letters. A turn of events, not a failure."""


class Spread:
    """The files of one listing, from several places at once.

    Parameters
    ----------
    walk : callable
        Gives the files of one page after another, from after a name on, and whether more follow.
    ahead : callable
        Returns the folders directly below a folder and after a name, sorted; each ends in a slash.
        Raises `ServerError` where they cannot be had.
    prefix : str
        What all keys begin with.
    room : threading.Semaphore
        How many more stretches there may be at once.
    """

    def __init__(self, walk: Walk, ahead: Ahead, prefix: str, room: threading.Semaphore) -> None:
        self._walk = walk
        self._ahead = ahead
        self._prefix = prefix
        self._room = room
        self._news = threading.Condition()
        self._ended = False

    def files(self) -> list[RemoteFile]:
        """Return all files, in the order of their keys.

        Raises
        ------
        ServerError
            Of the stretch that failed.
        DisorderError
            If keys do not come in their order: then there is no list.
        """
        first = _Stretch("")
        try:
            self._go(first)
            found, stretch = first.files, first
            while True:
                if stretch.error is not None:
                    raise stretch.error
                if stretch is not first:
                    found += stretch.files
                    stretch.files = []
                if stretch.next is None:
                    break
                stretch = stretch.next
                with self._news:
                    self._news.wait_for(partial(getattr, stretch, "over"))
        finally:
            self._ended = True  # what is still under way brings nothing that is needed
        if first.orderly:
            return found
        unique = {file.key: file for file in found}
        return [unique[key] for key in sorted(unique)]

    def _go(self, stretch: _Stretch) -> None:
        """Walk one stretch to its end."""
        try:
            for page in self._walk(stretch.after):
                if self._ended or stretch.dropped or self._take(stretch, page):
                    return
                if page.more and stretch.orderly and stretch.pages >= stretch.look_at:
                    self._look_ahead(stretch)
            with self._news:
                while stretch.next is not None:  # nothing follows, whatever was expected
                    self._drop_next(stretch)
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            stretch.error = error
        finally:
            with self._news:
                stretch.over = True
                self._news.notify_all()

    def _take(self, stretch: _Stretch, page: Stride) -> bool:
        """Take a page; whether it reached the next stretch."""
        stretch.pages += 1
        keys = page.keys
        if not keys:
            return False
        last = stretch.files[-1].key if stretch.files else stretch.after
        if stretch.orderly and (
            keys[0] <= last or any(map(str.__ge__, keys, islice(keys, 1, None)))
        ):
            if stretch.after:
                raise DisorderError
            stretch.orderly = False  # it walks to the end by itself, and sorts
            with self._news:
                while stretch.next is not None:
                    self._drop_next(stretch)
        if self._meets_next(stretch, page):
            return True
        stretch.files += page.files
        return False

    def _meets_next(self, stretch: _Stretch, page: Stride) -> bool:
        """Whether the first key of the next stretch is in a page; if so, what is before it counts.

        A next stretch that does not begin with the key that comes next is dropped.
        """
        keys = page.keys
        with self._news:
            if stretch.first is None:
                stretch.first = keys[0]
                self._news.notify_all()
            while (following := stretch.next) is not None and keys[-1] > following.after:
                self._news.wait_for(partial(_has_begun, following))
                at = bisect_right(keys, following.after)
                if following.first == keys[at]:
                    stretch.files += page.files[:at]
                    return True
                self._drop_next(stretch)
        return False

    @staticmethod
    def _drop_next(stretch: _Stretch) -> None:
        """Go on through what the next stretch was to bring."""
        dropped = stretch.next
        if dropped is not None:
            dropped.dropped = True
            stretch.next, dropped.files = dropped.next, []

    # -- more stretches ----------------------------------------------------------------------

    def _look_ahead(self, stretch: _Stretch) -> None:
        """Begin stretches ahead of this one, where there is room and it is likely to pay."""
        stretch.look_at = 2 * stretch.pages
        places = 0
        while places < 64 and self._room.acquire(blocking=False):
            places += 1
        try:
            names = self._places(stretch, places) if places else []
        except InterruptedTransferError:
            raise
        except ServerError:
            names = []  # it was only a hint: the listing itself says what is wrong
        finally:
            for _ in range(places):
                self._room.release()
        for name in reversed(names):
            self._begin(stretch, name)

    def _begin(self, stretch: _Stretch, after: str) -> None:
        """Walk a new stretch in a thread of its own, between this one and its next."""
        new = _Stretch(after)
        with self._news:
            full = stretch.dropped or not stretch.orderly
            if full or not self._room.acquire(blocking=False):
                return
            stretch.next, new.next = new, stretch.next

        def go() -> None:
            try:
                self._go(new)
            finally:
                self._room.release()

        if started(go, "neurofetch-list", others=1) is None:  # no more threads: as without it
            self._room.release()
            with self._news:
                self._drop_next(stretch)

    def _places(self, stretch: _Stretch, most: int) -> list[str]:
        """Return names ahead at which to begin, sorted; none where that would not pay.

        From the folder that the stretch shares with its end down to where it is now, the first
        folder counts that has enough ahead. As many keys as each name brought so far, each of those
        ahead is likely to bring.
        """
        if not stretch.files:
            return []
        here = stretch.files[-1].key
        following = stretch.next
        end = following.after if following is not None else ""
        for folder in self._folders(here, end):
            began = bisect_right(stretch.files, folder, key=_KEY)
            pages = stretch.pages * (1 - began / len(stretch.files))
            if pages < 1:
                break  # it has hardly begun, and is not known to be large
            ahead = [name for name in self._ahead(folder, here) if not end or name < end]
            if not ahead:
                continue
            passed = _distinct(stretch.files, began, len(folder))
            count = min(most, len(ahead), int(pages * len(ahead) / passed / WORTH))
            if count:
                return [ahead[number * len(ahead) // (count + 1)] for number in range(1, count + 1)]
        return []

    def _folders(self, here: str, end: str) -> list[str]:
        """Return the folders to look into, from the widest on."""
        found = []
        at = len(self._prefix)
        while at >= 0:
            folder = here[:at]
            at = here.find("/", at) + 1 or -1
            inner = here[:at] if at > 0 else ""
            if not (end and inner and end.startswith(inner)):  # else the end lies deeper
                found.append(folder)
        return found[:DEPTH]
