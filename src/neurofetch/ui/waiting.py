"""Connections that have not asked for anything yet: they wait without a thread.

Anyone on a shared machine can open connections to the page, and say nothing, or a letter now and
then. Here one thread waits for all of them. A connection gets a thread of the server once the head
of a request is there as a whole; where too many wait, the one that came first is let go.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from neurofetch._threads import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["WaitingRoom"]

_ENDS: Final = (b"\n\r\n", b"\n\n")
"""An empty line, also after one that ends without a carriage return."""
_LONGEST_HEAD: Final = 1 << 16
_LOOK: Final = 0.05
"""Seconds after which a head of which a part is there is looked at again."""
_PAUSE: Final = 1.0


class WaitingRoom:
    """Waits for the first request of connections.

    Parameters
    ----------
    ready : callable
        Takes a connection on which a head is there, and its address.
    gone : callable
        Takes one that is let go.
    most : int
        At most so many wait.
    seconds : float
        For how long.
    """

    def __init__(
        self,
        ready: Callable[[socket.socket, Any], None],
        gone: Callable[[socket.socket], None],
        *,
        most: int,
        seconds: float,
    ) -> None:
        self._ready, self._gone = ready, gone
        self._most, self._seconds = most, seconds
        self._lock = threading.Lock()
        self._waiting: OrderedDict[socket.socket, tuple[Any, float]] = OrderedDict()
        self._silent = selectors.DefaultSelector()
        self._bell, self._ring = socket.socketpair()
        self._bell.setblocking(False)
        self._silent.register(self._bell, selectors.EVENT_READ)
        self._begun: set[socket.socket] = set()
        self._closed = False
        self.works = bool(start(self._wait, 1, "neurofetch-ui-waiting"))

    def add(self, connection: socket.socket, address: Any) -> None:
        """Let a connection wait.

        Parameters
        ----------
        connection : socket
        address : object
        """
        with self._lock:
            if self._closed:
                self._gone(connection)
                return
            first = next(iter(self._waiting)) if len(self._waiting) >= self._most else None
            self._waiting[connection] = (address, time.monotonic() + self._seconds)
            if first is not None:
                self._drop(first)
            self._silent.register(connection, selectors.EVENT_READ)
        self._wake()

    def close(self) -> None:
        """Let all go."""
        with self._lock:
            self._closed = True
        if self.works:
            self._wake()
        else:
            self._end()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is awake, or has ended
            self._ring.send(b"!", socket.MSG_DONTWAIT)

    def _wait(self) -> None:
        while not self._closed:
            found = self._silent.select(_LOOK if self._begun else _PAUSE)
            with self._lock:
                self._note([key.fileobj for key, _ in found])
                for connection in list(self._begun):
                    self._look_at(connection)
                now = time.monotonic()
                for connection, (_, until) in list(self._waiting.items()):
                    if until > now:
                        break  # those that came later have longer
                    self._drop(connection)
        self._end()

    def _note(self, found: Iterable[object]) -> None:
        for one in found:
            if one is self._bell:
                with contextlib.suppress(BlockingIOError):
                    self._bell.recv(4096)
            # Since it was found, it may have been let go: too many had come after it.
            elif isinstance(one, socket.socket) and one in self._waiting:
                # What is there stays there, and would wake this thread again at once.
                self._silent.unregister(one)
                self._begun.add(one)

    def _end(self) -> None:
        with self._lock:
            for connection in list(self._waiting):
                self._drop(connection)
            self._silent.close()
            self._bell.close()
            self._ring.close()

    def _look_at(self, connection: socket.socket) -> None:
        """Give on a connection on which the head of a request is there."""
        try:
            head = connection.recv(_LONGEST_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            head = b""
        if not head:
            self._drop(connection)
        elif len(head) >= _LONGEST_HEAD or any(end in head for end in _ENDS):
            self._begun.discard(connection)
            address, _ = self._waiting.pop(connection)
            self._ready(connection, address)

    def _drop(self, connection: socket.socket) -> None:
        self._waiting.pop(connection, None)
        if connection in self._begun:
            self._begun.discard(connection)
        else:
            with contextlib.suppress(KeyError, ValueError):
                self._silent.unregister(connection)
        self._gone(connection)
