"""What happens, told to every page that listens (Server-Sent Events)."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ALL_IS_WELL", "BEAT", "Broadcast", "Message"]

ALL_IS_WELL: Final = b"event: beat\ndata: 1\n\n"
"""What a page is told that would hear nothing else: an event, since no script hears a comment."""

BEAT: Final = 15.0
"""Seconds after which a page that heard nothing is told that all is well."""
_PAUSE: Final = 0.2
"""Seconds between two messages of one subject: what changes faster is told once."""


class Message(NamedTuple):
    """What became of a subject, the newest state of it.

    Parameters
    ----------
    number : int
        Grows with each change of anything.
    event : str
        "job" or "catalogue".
    data : str
        JSON, on one line.
    """

    number: int
    event: str
    data: str

    @property
    def lines(self) -> bytes:
        """The message as it is sent."""
        return f"id: {self.number}\nevent: {self.event}\ndata: {self.data}\n\n".encode()


class Broadcast:
    """The newest state of each subject, and when it changed.

    No page that is slow or gone makes anybody wait: who comes later gets only what is newest.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: OrderedDict[tuple[str, str], tuple[int, Callable[[], object]]] = OrderedDict()
        self._number = time.time_ns() // 1_000_000  # greater than any before a restart
        self._told = 0  # the number of the last message
        self._closed = False

    def tell(self, event: str, name: str, state: Callable[[], object]) -> None:
        """Say that a subject has changed.

        Parameters
        ----------
        event : str
            What kind of subject it is.
        name : str
        state : callable
            Returns what is told of it, when it is told.
        """
        with self._changed:
            self._told = self._number = self._number + 1
            self._newest[event, name] = (self._number, state)
            self._newest.move_to_end((event, name))
            self._changed.notify_all()

    def forget(self, event: str, name: str) -> None:
        """Tell nobody any more of a subject that is gone."""
        with self._changed:
            self._newest.pop((event, name), None)

    def close(self) -> None:
        """Let all listeners go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def listen(self, since: int = 0, *, beat: float = BEAT) -> Iterator[bytes]:
        """Give what is sent to a page, for as long as it listens.

        Parameters
        ----------
        since : int
            The number of the last message that it has; 0 for none.
        beat : float
            Seconds.
        """
        yield b"retry: 1000\n\n"
        while True:
            news, closed = self._news(since, beat)
            if closed:
                return
            if not news:
                yield ALL_IS_WELL
                continue
            for number, event, state in news:
                text = json.dumps(state(), separators=(",", ":"), allow_nan=False)
                yield Message(number, event, text).lines
                since = number
            time.sleep(_PAUSE)

    def _news(
        self, since: int, beat: float
    ) -> tuple[list[tuple[int, str, Callable[[], object]]], bool]:
        with self._changed:
            if since > self._number:
                since = 0  # of another server, whose clock was ahead
            self._changed.wait_for(lambda: self._closed or self._told > since, beat)
            every = self._newest.items()
            news = [(n, event, state) for (event, _), (n, state) in every if n > since]
            return news, self._closed
