"""What is asked and answered, and what goes wrong on the way: values and a script of faults."""

import itertools
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import ParamSpec

from testbed._blobs import Blob, Bytes

P = ParamSpec("P")


@dataclass
class Request:
    """One line of the request log.

    Parameters
    ----------
    method
        The HTTP method, but ``LIST`` for a bucket listing.
    bucket, key
        What is asked for; the key is percent-decoded and empty for a listing.
    query, headers
        Decoded query; header names in lower case.
    body
        What the client sent.
    connection
        Number of the connection, from 1.
    began, ended
        `time.monotonic` at arrival and when the last byte is handed to the network; ``ended`` is
        0 until then, and stays 0 where the connection broke before.
    status
        What was answered; 0 while, or because, nothing was.
    sent
        Bytes of the body that were handed to the network.
    target
        What stands in the request line, byte for byte as it was sent.
    verb
        The HTTP method, as it came.
    """

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    connection: int = 0
    began: float = 0.0
    ended: float = 0.0
    status: int = 0
    sent: int = 0
    target: str = ""
    verb: str = ""

    @property
    def range(self) -> str:
        """The Range header, empty where there is none."""
        return self.headers.get("range", "")


@dataclass(frozen=True)
class Reply:
    """What is answered: the bytes from ``start`` to ``stop`` (None: the end) of a blob.

    Where it is `chunked`, nobody says beforehand how much comes.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    blob: Blob = field(default_factory=lambda: Bytes(b""))
    start: int = 0
    stop: int | None = None
    chunked: bool = False

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return (self.blob.size if self.stop is None else self.stop) - self.start

    @property
    def body(self) -> bytes:
        """The body, all of it at once."""
        return self.blob.read(self.start, self.start + self.length)


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and with which requests.

    The first five say which requests count (globs, case-sensitive); `skip` of those pass, then
    the fault strikes `times` times (None: from then on). The rest says what happens, and may be
    combined. Where two faults are due, the one added first strikes.

    Parameters
    ----------
    key, method, byte_range
        Globs on key, method (``LIST`` for listings) and Range header (empty where there is none).
    asks
        What stands somewhere in the body of the request, such as a field of a GraphQL query.
    skip, times
        Occurrences that pass before, and that are struck.
    status, body, headers
        Answer with this status, this body (default: what the service says with that status), and
        these headers beside or instead of the usual ones.
    delay
        Seconds of silence before the answer.
    reset
        Break the connection with a TCP reset: before the answer, or after `cut_after` bytes.
    cut_after
        Close the connection after this many bytes of the body.
    stall, stall_after
        Seconds of silence after this many bytes of the body; then it goes on.
    rate
        Bytes per second.
    flip
        Offset in the object of a byte that arrives with all its bits turned.
    ignore_range
        Answer 200 with the whole object whatever Range says.
    content_range, content_length
        Lies told in these headers.
    before
        Called before the answer is made: the place for a change of the object.
    act
        Does on the connection what it likes in the place of the answer, of which it gets the true
        one. The connection is closed afterwards.
    """

    key: str = "*"
    method: str = "*"
    byte_range: str = "*"
    asks: str = ""
    skip: int = 0
    times: int | None = None
    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    reset: bool = False
    cut_after: int | None = None
    stall: float = 0.0
    stall_after: int = 0
    rate: float | None = None
    flip: int | None = None
    ignore_range: bool = False
    content_range: str | None = None
    content_length: int | None = None
    before: Callable[[], None] | None = None
    act: Callable[[socket.socket, Request, Reply], None] | None = None

    def concerns(self, request: Request) -> bool:
        """Tell whether the request counts."""
        return (
            fnmatchcase(request.key, self.key)
            and fnmatchcase(request.method, self.method)
            and fnmatchcase(request.range, self.byte_range)
            and self.asks.encode() in request.body
        )

    def corrupt(self, piece: bytes, offset: int) -> bytes:
        """Return the piece of the object that begins at ``offset`` as it arrives."""
        if self.flip is None or not offset <= self.flip < offset + len(piece):
            return piece
        at = self.flip - offset
        return piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]


NO_FAULT = Fault()


def phrase(status: int) -> str:
    """Return what a status is called; those that no standard knows are used nevertheless."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Script:
    """The faults of a server, each with the number of requests that it has counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: list[tuple[Fault, itertools.count[int]]] = []

    def recorder(self, make: Callable[P, Fault]) -> Callable[P, Fault]:
        """Return ``make``, with its signature, so that what it makes is added here too."""

        def add(*args: P.args, **kwargs: P.kwargs) -> Fault:
            fault = make(*args, **kwargs)
            with self._lock:
                self._live.append((fault, itertools.count()))
            return fault

        return add

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._live.clear()

    def due(self, request: Request) -> Fault:
        """Count the request, and return the fault that strikes it."""
        with self._lock:
            counted = [(f, next(seen)) for f, seen in self._live if f.concerns(request)]
        for fault, seen in counted:
            if seen >= fault.skip and (fault.times is None or seen < fault.skip + fault.times):
                return fault
        return NO_FAULT
