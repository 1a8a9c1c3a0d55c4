"""One connection and one response: the head at once, the body as it is asked for."""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Protocol

from neurofetch.errors import ProtocolError, TransientError
from neurofetch.net.http1 import (
    CHUNKED,
    HEAD_LIMIT,
    UNTIL_CLOSE,
    Chunks,
    Head,
    body_length,
    parse_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurofetch.net.connect import Route
    from neurofetch.net.http1 import Request
    from neurofetch.net.outage import Line
    from neurofetch.net.rate_limit import RateLimit
    from neurofetch.net.settings import Network
    from neurofetch.net.signing import Signature

__all__ = ["Connection", "Pool", "Response"]

_BLOCK = 64 * 1024
_TELLING = 256 * 1024
"""Bytes; a body from this size on tells how fast connections are."""
_SLICE = 0.25
"""Seconds; so long the system waits for a buffer to be full, where it can be told."""
_NEW = 256 * 1024
"""Bytes; until so many came, a connection is new, and a read takes what is here: else nobody would
know how much it brings before a buffer is full."""
_INTERIM = 8
"""At most so many 1xx responses come before the real one."""


class Connection:
    """One socket, and the bytes read from it that nobody has asked for yet.

    With a timeout, Python asks the system twice for each read, whether there is something and what
    it is, and each of the two gives up the interpreter and takes it back. So where the system can
    be told how long to wait, it waits, and for all that is asked for: a thread is woken once for a
    full buffer instead of once for each packet (ADR 14).

    Parameters
    ----------
    sock : socket
        With a timeout: so many seconds it may be silent.
    line : Line
        To the server; it is told what goes well and what fails.
    """

    __slots__ = (
        "_all",
        "_new",
        "_patience",
        "_pending",
        "_read",
        "_readable",
        "_slice",
        "_usual",
        "ahead",
        "asked",
        "idle_since",
        "left",
        "line",
        "may_talk",
        "route",
        "sock",
        "used",
    )

    def __init__(self, sock: socket.socket, line: Line) -> None:
        self.sock = sock
        self.line = line
        self.route: Route = line.route
        self.asked = 0.0
        """When a request was sent last."""
        self.left = b""
        self.used = False
        self.ahead = False
        """Whether it was made before it was needed, and no response came on it yet."""
        self.may_talk = False
        """Whether a body may come that is none: some servers send one after HEAD."""
        self.idle_since = 0.0
        self._usual = self._patience = sock.gettimeout() or 0.0
        self._slice = min(_SLICE, self._patience)
        self._new = _NEW
        """Bytes of which each is told as soon as it is here."""
        self._readable = _look_at(sock)
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)  # with TLS
        self._read: Callable[[int, memoryview], int] | None = None
        """With TLS: read a record, or the rest of one."""
        self._all = 0
        """How to ask for a full buffer; 0 where it is Python that waits."""
        if self._pending is not None:
            self._read = sock.read  # type: ignore[attr-defined]
        if self._pending is None and _let_system_wait(sock, self._slice, self._patience):
            self._all = socket.MSG_WAITALL
        else:
            sock.settimeout(self._slice or None)

    def bear_with(self, seconds: float) -> None:
        """Wait for so long without a byte, from now on, where that is longer than usual."""
        self._patience = max(self._usual, seconds)

    def unasked(self) -> bytes | None:
        """Return what came although nothing was asked; None where nothing did.

        An end counts as something: then it is ``b""``. What is here before a request is sent cannot
        be its response: a 408 that says goodbye, a second response to the request before, or what
        somebody else put on the line.
        """
        if not self._readable() and not (self._pending and self._pending()):
            return None  # measured: 1 µs, of some 100 for a request
        sock = self.sock
        patience = sock.gettimeout()
        try:
            sock.settimeout(0.0)
            return sock.recv(_BLOCK)
        except BlockingIOError:
            more = None
        except OSError as error:
            # TLS has words of its own, such as a ticket for the next session: nothing to read.
            more = None if _wants_more(error) else b""
        sock.settimeout(patience)
        return more

    def hear(self, failed: OSError | None) -> Head:
        """Return the head of the response to a request that was sent, or failed to be."""
        if failed is not None:
            raise failed
        for _ in range(_INTERIM):
            head = parse_head(self._read_head())
            if head.status >= 200:
                return head
        msg = f"{_INTERIM} interim responses and no real one"
        raise ProtocolError(msg)

    def _read_head(self) -> bytes:
        block = self.left
        until = None
        while True:
            end = block.find(b"\r\n\r\n")
            if end >= 0:
                self.left = block[end + 4 :]
                return block[: end + 4]
            if b"\n\n" in block:
                return block  # it has ended, by rules that are not HTTP's: the parser says so
            if len(block) > HEAD_LIMIT:
                msg = f"a response head of more than {HEAD_LIMIT} bytes"
                raise ProtocolError(msg)
            until = self._not_later(until) if block else None
            more = self._recv()
            if not more:
                msg = "closed by the server before a response came"
                raise ConnectionResetError(msg)
            block = block + more if block else more

    def _not_later(self, until: float | None, waited: float = 0.0) -> float:
        """Bound the time for what does not come at once, of which some has passed."""
        now = time.monotonic()
        if until is None:
            until = now + self._patience - waited
        if now >= until:
            raise TimeoutError
        return until

    def _recv(self) -> bytes:
        """Return what came, when something did."""
        until = None
        while True:
            try:
                return self.sock.recv(_BLOCK)
            except (BlockingIOError, TimeoutError):  # a slice of time is over
                until = self._not_later(until, self._slice)

    def into(self, view: memoryview) -> int:
        """Fill the front of `view`; 0 when the server has closed the connection.

        Where it can be waited for in slices of time, all of it is filled, or what came in one.
        """
        if self.left:
            count = min(len(self.left), len(view))
            view[:count] = self.left[:count]
            self.left = self.left[count:]
            return count
        until = None
        while True:
            try:
                if self._new > 0:
                    return self._into_soon(view)
                if self._read is not None:
                    return _records(self._read, view)
                return self.sock.recv_into(view, 0, self._all)
            except (BlockingIOError, TimeoutError):  # a slice of time is over, and nothing came
                until = self._not_later(until, self._slice)

    def _into_soon(self, view: memoryview) -> int:
        """Take what is here, waiting for no more than something."""
        count = self.sock.recv_into(view)
        self._new -= count
        return count

    def more(self) -> bytes:
        """Return what came, as it came."""
        block, self.left = self.left or self._recv(), b""
        if not block:
            msg = "closed by the server inside a chunked body"
            raise ConnectionResetError(msg)
        return block


def _look_at(sock: socket.socket) -> Callable[[], object]:
    """Return what says, without waiting, whether there is something to read on a socket."""
    if not hasattr(select, "poll"):
        return lambda: select.select([sock], [], [], 0)[0]
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return lambda: poller.poll(0)


def _records(read: Callable[[int, memoryview], int], view: memoryview) -> int:
    """Fill the front of `view` with records of TLS, of which each read takes one.

    It is done here, since each has 16 kB only: what it takes to get here costs more than a record.
    """
    filled, wanted, until = 0, len(view), time.monotonic() + _SLICE
    while filled < wanted:
        try:
            count = read(wanted - filled, view[filled:])
        except OSError:
            if filled:  # the next call says so again
                return filled
            raise
        if not count:
            return filled
        filled += count
        if time.monotonic() > until:
            return filled
    return filled


def _let_system_wait(sock: socket.socket, slice_: float, patience: float) -> bool:
    """Let the system wait for a slice of time in each call, not Python; False where it cannot.

    Linux alone counts the time of a whole call. Elsewhere it begins anew with each byte, so that a
    server which drips would hold a thread as long as it likes.
    """
    if sys.platform != "linux" or not patience:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(slice_))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(patience))
    except OSError:
        return False
    sock.settimeout(None)
    return True


def _timeval(seconds: float) -> bytes:
    """Return a time as the system takes it."""
    return struct.pack("ll", int(seconds), max(1, int(seconds % 1 * 1e6)))


def _wants_more(error: OSError) -> bool:
    import ssl  # noqa: PLC0415 - 15 ms that plain HTTP does not need

    return isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError)


class Pool(Protocol):
    """Whose connection a response is read from: it gets the connection back."""

    @property
    def network(self) -> Network:
        """The settings: when a body counts as stalled."""

    @property
    def pace(self) -> RateLimit:
        """The speed limit that all connections share."""

    @property
    def closed(self) -> bool:
        """Whether the pool was closed: what a connection says from then on means nothing."""

    def broken(self, shown_url: str, error: OSError) -> Exception:
        """Translate what a socket raised."""

    def release(self, connection: Connection, *, keep: bool) -> None:
        """Take a connection back; close it unless it is to be kept."""

    def distrust(self, connection: Connection) -> None:
        """Keep no connection to this server any more: it said what nobody had asked for."""

    def brought(self, rate: float) -> None:
        """Note how many bytes a second a connection brought."""

    def crawls(self, rate: float) -> bool:
        """Whether a connection is far slower than others were."""

    def over(self) -> None:
        """Let the next request begin."""


class Response:
    """A response: its head, and its body to be read once. A context manager.

    Attributes
    ----------
    status : int
    headers : dict of str to str
        Names in lower case.
    length : int or None
        Bytes of the body as announced; None where the server does not say.
    """

    def __init__(self, pool: Pool, connection: Connection, request: Request, head: Head):
        self.status = head.status
        self.reason = head.reason
        self.headers = head.headers
        self.shown_url = request.shown_url
        self.signature: Signature | None = None
        """With what the request was signed, if it was."""
        self.may_sign: bool = False
        """Whether whoever asked can name credentials."""
        self._pool = pool
        self._connection = connection
        self._keep = head.keep_alive
        self._kind = body_length(request.method, head)
        self._chunks = Chunks() if self._kind == CHUNKED else None
        self.length = self._kind if self._kind >= 0 else None
        self._todo = max(self._kind, 0)
        self._done = self._kind == 0
        connection.may_talk = request.method == "HEAD"
        self._began = now = time.monotonic()
        self._line = line = connection.line
        line.heard = now
        if head.status < 300 and "html" not in head.headers.get("content-type", ""):
            line.good = (now, request)
            line.round_trip = min(line.round_trip, now - connection.asked)
        self._window = (self._began, 0)
        self._crawled = False
        self._paused = 0.0
        """When reading paused for the speed limit: what is read next may have come since then."""

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def readinto(self, view: memoryview) -> int:
        """Fill the front of `view` with body bytes; 0 at the end of the body.

        Raises
        ------
        TransientError
            If the connection broke, stalled, or ended before the announced length.
        """
        if self._done or not view:
            return 0
        read_before = bool(self._connection.left)
        try:
            count = self._next(view)
        except ProtocolError:
            self._keep = False
            raise
        except OSError as error:
            self._keep = False
            raise self._pool.broken(self.shown_url, error) from error
        if count:
            self._watch(count, all_read=count < len(view) and not read_before)
        return count

    def fill(self, view: memoryview) -> int:
        """Fill a buffer with body bytes; fewer than it takes only at the end of the body.

        Raises
        ------
        TransientError
            As `readinto`.
        """
        filled = 0
        while filled < len(view):
            count = self.readinto(view[filled:])
            if not count:
                break
            filled += count
        return filled

    def read(self, limit: int) -> bytes:
        """Return the whole body.

        Parameters
        ----------
        limit : int
            Bytes; more than this is an error, so that no server can fill the memory.

        Raises
        ------
        ProtocolError
            If the body is longer than `limit`.
        TransientError
            As `readinto`.
        """
        if self._kind >= 0:
            return self._read_known(limit)
        pieces, total = [], 0
        buffer = memoryview(bytearray(_BLOCK))
        while count := self.readinto(buffer):
            total += count
            if total > limit:
                raise self._too_long(limit)
            pieces.append(bytes(buffer[:count]))
        return b"".join(pieces)

    def _read_known(self, limit: int) -> bytes:
        if self._kind > limit:
            raise self._too_long(limit)
        left = self._connection.left
        if len(left) == self._todo:  # all of it came with the head: the usual small file
            self._connection.left, self._todo, self._done = b"", 0, True
            self._watch(len(left))
            return left
        try:
            body = bytearray(self._todo)
        except MemoryError as error:
            self._keep = False
            msg = f"{self.shown_url}: no memory is left in this process for {self._todo:,} bytes"
            raise TransientError(msg) from error
        view, filled = memoryview(body), 0
        while count := self.readinto(view[filled:]):
            filled += count
        return bytes(body)

    def _too_long(self, limit: int) -> ProtocolError:
        self._keep = False
        return ProtocolError(f"{self.shown_url}: a body of more than {limit} bytes was not read")

    def _next(self, view: memoryview) -> int:
        if self._chunks is not None:
            return self._unpack(self._chunks, view)
        count = self._connection.into(view if self._kind == UNTIL_CLOSE else view[: self._todo])
        if self._kind == UNTIL_CLOSE:
            if count == 0 and self._pool.closed:  # it ended because this side closed it
                raise ConnectionAbortedError
            self._done = count == 0
            return count
        if count == 0:
            msg = f"the body ended {self._todo} bytes early"
            raise ConnectionResetError(msg)
        self._todo -= count
        self._done = self._todo == 0
        return count

    def _unpack(self, chunks: Chunks, view: memoryview) -> int:
        while not (count := chunks.take(view)):
            if chunks.ended:
                self._done = True
                self._keep = self._keep and not chunks.extra
                break
            chunks.feed(self._connection.more())
            self._watch(0)  # sizes and trailers may drip, too
        return count

    def _watch(self, count: int, *, all_read: bool = True) -> None:
        """Count bytes for the rate limit, and give up on a connection that drips or crawls.

        It crawls when it is far slower than others, twice in a row: once may be the disk's doing.
        The time for which we do not read is none of the server's.
        """
        network, line, came = self._pool.network, self._line, time.monotonic()
        since, seen = self._window
        if count:
            line.heard = max(line.heard, self._paused or came)
            self._paused = 0.0 if all_read else self._paused
        self._pool.pace.spend(count)
        now = time.monotonic()
        if now - came > _SLICE:
            self._paused = self._paused or came
            since += now - came
            self._window = (since, seen)
        if count:
            self._connection.idle_since = now
        if now - since < network.slow_window:
            self._window = (since, seen + count)
            return
        seen += count
        rate = seen / (now - since)
        crawled, self._crawled = self._crawled, self._pool.crawls(rate)
        if seen < network.slow_bytes or (crawled and self._crawled):
            self._keep = False
            self._pool.brought(rate)
            msg = f"{self.shown_url}: stalled, {seen} bytes in {now - since:.0f} s"
            raise TransientError(msg)
        self._window = (now, 0)

    def close(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        connection, self._keep = self._connection, self._keep and self._done
        if connection is not None:
            if self._kind >= _TELLING and self._done:
                self._pool.brought(self._kind / (time.monotonic() - self._began + 1e-6))
            if self._keep and connection.left and not connection.may_talk:
                self._pool.distrust(connection)
            self._pool.release(connection, keep=self._keep and not connection.left)
            self._pool.over()
            self._connection = None  # type: ignore[assignment]
            self._done = True
