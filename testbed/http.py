"""A loopback HTTP/1.1 server with scripted faults and a request log.

The local stand-ins for remote services subclass :class:`LoopbackServer` and answer
:class:`Request` with :class:`Reply`; faults, latency, logging and keep-alive live here.
"""

from __future__ import annotations

import itertools
import re
import socket
import ssl
import struct
import threading
import time
import traceback
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

CHUNK = 1 << 16


@dataclass(frozen=True)
class Request:
    """What the client sent: header names in lower case, path unquoted."""

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What the server answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with the requests whose ``"METHOD target"`` matches a pattern.

    Parameters
    ----------
    pattern
        Regular expression searched in ``"GET /path?query"``.
    nth
        The occurrences (from 1) that fail; None for each one.
    status, body, headers
        Replace this part of the answer; what is None stays as the server made it.
    content_length
        Announce this length, whatever is sent.
    cut
        Send this many bytes of the body, then close.
    reset
        Reset the connection (after `cut` bytes, before the answer when `cut` is None).
    stall
        Seconds of silence (after `cut` bytes, else before the answer); then the connection is
        closed.
    delay
        Seconds to wait before an otherwise unharmed answer.
    """

    pattern: str
    nth: Collection[int] | None = None
    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    content_length: int | None = None
    cut: int | None = None
    reset: bool = False
    stall: float = 0.0
    delay: float = 0.0

    def amend(self, reply: Reply) -> Reply:
        """Return `reply` with the parts that this fault replaces."""
        status = reply.status if self.status is None else self.status
        fresh = self.status is not None and self.status != reply.status
        body = self.body if self.body is not None else (b"" if fresh else reply.body)
        headers = {} if fresh else dict(reply.headers)
        return Reply(status, body, {**headers, **(self.headers or {})})


def html(status: int, title: str | None = None) -> Reply:
    """Return an HTML error page, as a web server's front end makes them."""
    title = title or f"{status} {HTTPStatus(status).phrase}"
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return Reply(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


def html_fault(pattern: str, status: int = 200, nth: Collection[int] | None = None) -> Fault:
    """Return a fault that answers an HTML page, by default with the status of a success."""
    page = html(status, "Service temporarily unavailable")
    return Fault(pattern, nth, status=status, body=page.body, headers=page.headers)


class Script:
    """The faults still to come, each with its count of matching requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[tuple[Fault, Iterator[int]]] = []

    def add(self, *faults: Fault) -> None:
        """Append `faults`; the first that matches a request wins."""
        with self._lock:
            self._faults += [(fault, itertools.count(1)) for fault in faults]

    def clear(self) -> None:
        """Heal the server."""
        with self._lock:
            self._faults.clear()

    def pick(self, request: Request) -> Fault | None:
        """Count `request` for every fault that matches, and return the first one due."""
        line = f"{request.method} {request.target}"
        with self._lock:
            hits = [(f, next(n)) for f, n in self._faults if re.search(f.pattern, line)]
        return next((f for f, n in hits if f.nth is None or n in f.nth), None)


@dataclass(frozen=True)
class Entry:
    """One line of the request log; status 0 while, or because, no answer was sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    connection: int
    began: float
    status: int = 0
    sent: int = 0


class RequestLog:
    """What the server was asked, in the order of arrival; safe to read at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def open(self, entry: Entry) -> Callable[[int, int], None]:
        """Add `entry`; call the result with status and bytes sent when the answer is out."""
        with self._lock:
            place, entries = len(self._entries), self._entries
            entries.append(entry)

        def close(status: int, sent: int) -> None:
            with self._lock:
                entries[place] = replace(entries[place], status=status, sent=sent)

        return close

    def clear(self) -> None:
        """Forget everything asked so far."""
        with self._lock:
            self._entries = []

    def entries(self, pattern: str = "") -> list[Entry]:
        """Return the entries whose ``"METHOD target"`` matches `pattern`."""
        with self._lock:
            every = list(self._entries)
        return [e for e in every if re.search(pattern, f"{e.method} {e.target}")]

    def targets(self, pattern: str = "") -> list[str]:
        """Return the targets (path and query) that were asked."""
        return [entry.target for entry in self.entries(pattern)]

    def connections(self, pattern: str = "") -> int:
        """Return how many connections carried the matching requests."""
        return len({entry.connection for entry in self.entries(pattern)})

    def __len__(self) -> int:
        return len(self.entries())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Threads

    def setup(self) -> None:
        self.connection_id = next(self.server.numbers)
        super().setup()

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True  # the client went away: not the server's failure

    def log_message(self, *_: Any) -> None:
        """Keep silent: the request log is the record."""

    def version_string(self) -> str:
        return "nginx"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            target=self.path,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        self._serve(request)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server's own names

    def _serve(self, request: Request) -> None:
        owner = self.server.owner
        entry = Entry(
            request.method, request.target, request.headers, self.connection_id, time.monotonic()
        )
        close = owner.log.open(entry)
        fault = owner.faults.pick(request) or Fault("")
        owner.pause(owner.latency + fault.delay)
        if fault.cut is None and (fault.stall or fault.reset):
            self._break(fault)
            return
        reply = fault.amend(owner.answer(request))
        close(reply.status, self._send(request, reply, fault))

    def _send(self, request: Request, reply: Reply, fault: Fault) -> int:
        body = b"" if request.method == "HEAD" else reply.body
        kept = body if fault.cut is None else body[: fault.cut]
        length = len(reply.body) if fault.content_length is None else fault.content_length
        head = self._head(reply, length)
        self.wfile.write(head + kept[:CHUNK])
        for start in range(CHUNK, len(kept), CHUNK):
            self.wfile.write(kept[start : start + CHUNK])
        if fault.cut is not None or (length != len(body) and request.method != "HEAD"):
            self._break(fault)
        return len(kept)

    def _head(self, reply: Reply, length: int) -> bytes:
        lines = {"Server": "nginx", "Date": self.date_time_string(), **reply.headers}
        if reply.status not in (204, 304):
            lines.setdefault("Content-Length", str(length))
        phrase = HTTPStatus(reply.status).phrase
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {reply.status} {phrase}\r\n{text}\r\n".encode("latin-1")

    def _break(self, fault: Fault) -> None:
        self.server.owner.pause(fault.stall)
        self.close_connection = True
        if fault.reset:  # linger 0: the peer sees a reset instead of an orderly end
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


class _Threads(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 256

    def __init__(self, owner: LoopbackServer) -> None:
        self.owner = owner
        self.numbers = itertools.count(1)
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__((owner.host, 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.owner.tls is not None:  # the handshake, in the connection's own thread
            request = self.owner.tls.wrap_socket(request, server_side=True)
        with self._guard:
            self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._guard:
                self._open.discard(request)
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        self.owner.failures.append(f"{client_address}: {traceback.format_exc()}")

    def hang_up(self) -> None:
        """Wake the threads that wait for a client's next request."""
        with self._guard:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:  # already closed by a scripted reset, or by the client
                    continue


class LoopbackServer:
    """A server on a free loopback port; subclasses answer in :meth:`answer`.

    Parameters
    ----------
    latency
        Seconds that pass before each answer.
    host
        Address to listen on.
    tls
        Server-side context: speak HTTPS.

    Attributes
    ----------
    faults, log
        The :class:`Script` of what goes wrong, the :class:`RequestLog` of what was asked.
    failures
        Tracebacks of the server's own errors: must be empty at the end of a test.
    """

    def __init__(
        self, *, latency: float = 0.0, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ) -> None:
        self.latency = latency
        self.host = host
        self.tls = tls
        self.faults = Script()
        self.log = RequestLog()
        self.failures: list[str] = []
        self._stopping = threading.Event()
        self._server = _Threads(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{self.host}:{self._server.server_port}"

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        raise NotImplementedError

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the server's end."""
        if seconds > 0:
            self._stopping.wait(seconds)

    def start(self) -> Self:
        """Serve from a thread of its own."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close every connection and wait for every thread."""
        self._stopping.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()
