"""A loopback HTTP/1.1 server of threads with a request log and scripted faults.

`S3Server` and `AccessServer` say what is answered; how it goes over the wire, and what goes wrong
on the way, is here. Requests are parsed by hand: several thousand small ones a second on one core.
"""

import itertools
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import ParamSpec, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from testbed._blobs import Blob, Bytes

P = ParamSpec("P")
STEP = 1 << 20
ONE_WRITE = 1 << 16
TICK_SECONDS = 0.02


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
        `time.monotonic` at arrival and after the last byte; ``ended`` is 0 until then.
    status
        What was answered; 0 while, or because, nothing was.
    sent
        Bytes of the body that were handed to the network.
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

    @property
    def range(self) -> str:
        """The Range header, empty where there is none."""
        return self.headers.get("range", "")


@dataclass(frozen=True)
class Reply:
    """What is answered: the bytes from ``start`` to ``stop`` (None: the end) of a blob."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    blob: Blob = field(default_factory=lambda: Bytes(b""))
    start: int = 0
    stop: int | None = None

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return (self.blob.size if self.stop is None else self.stop) - self.start


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and with which requests.

    The first four say which requests count (globs, case-sensitive); `skip` of those pass, then
    the fault strikes `times` times (None: from then on). The rest says what happens, and may be
    combined. Where two faults are due, the one added first strikes.

    Parameters
    ----------
    key, method, byte_range
        Globs on key, method (``LIST`` for listings) and Range header (empty where there is none).
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
    """

    key: str = "*"
    method: str = "*"
    byte_range: str = "*"
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

    def concerns(self, request: Request) -> bool:
        """Tell whether the request counts."""
        return (
            fnmatchcase(request.key, self.key)
            and fnmatchcase(request.method, self.method)
            and fnmatchcase(request.range, self.byte_range)
        )

    def corrupt(self, piece: bytes, offset: int) -> bytes:
        """Return the piece of the object that begins at ``offset`` as it arrives."""
        if self.flip is None or not offset <= self.flip < offset + len(piece):
            return piece
        at = self.flip - offset
        return piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]


NO_FAULT = Fault()


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


class WireServer:
    """A server on a free loopback port; subclasses answer.

    Parameters
    ----------
    latency
        Seconds before each answer.
    tls
        A server-side context: speak HTTPS.

    Attributes
    ----------
    log
        Every request since the start or the last `clear_log`, in order of arrival.
    fault
        Takes the arguments of `Fault`, and adds it.
    connections
        How many were accepted.
    """

    def __init__(self, *, latency: float = 0.0, tls: ssl.SSLContext | None = None) -> None:
        self.latency = latency
        self.log: list[Request] = []
        self.connections = 0
        self._script = Script()
        self.fault = self._script.recorder(Fault)
        self.clear_faults = self._script.clear
        self._ending = threading.Event()
        self._tcp = _Tcp(self, tls)
        self._thread = threading.Thread(target=self._tcp.serve_forever, args=(TICK_SECONDS,))
        self._scheme = "http" if tls is None else "https"

    def answer(self, request: Request) -> Reply:
        """Answer one request."""
        raise NotImplementedError

    def locate(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str, str]:
        """Return method, bucket and key as the log shows them."""
        raise NotImplementedError

    def failure(self, status: int) -> Reply:
        """Return what the service says with this status."""
        return Reply(
            status, {"Content-Type": "text/plain"}, Bytes(HTTPStatus(status).phrase.encode())
        )

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self._tcp.server_address[1])

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def requests(self, method: str = "*", key: str = "*") -> list[Request]:
        """Return the logged requests whose method and key match these globs."""
        logged = list(self.log)
        return [r for r in logged if fnmatchcase(r.method, method) and fnmatchcase(r.key, key)]

    def clear_log(self) -> None:
        """Forget the requests logged so far."""
        self.log = []

    def peak(self, method: str = "*", key: str = "*") -> int:
        """Return how many of the matching requests were under way at once, at most."""
        moments: list[tuple[float, int]] = []
        for request in self.requests(method, key):
            moments += [(request.began, 1), (request.ended or float("inf"), -1)]
        return max(itertools.accumulate(step for _, step in sorted(moments)), default=0)

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the server's end."""
        if seconds > 0:
            self._ending.wait(seconds)

    def strike(self, request: Request) -> tuple[Fault, Reply | None]:
        """Log and answer a request, as its fault has it; None: no answer at all."""
        self.log.append(request)
        fault = self._script.due(request)
        self.pause(self.latency + fault.delay)
        if fault.before is not None:
            fault.before()
        if fault.reset and fault.cut_after is None:
            return fault, None
        return fault, self._amended(request, fault)

    def _amended(self, request: Request, fault: Fault) -> Reply:
        headers = dict(request.headers)
        if fault.ignore_range:
            headers.pop("range", None)
        if fault.status is None:
            reply = self.answer(replace(request, headers=headers))
        else:
            reply = self.failure(fault.status)
        if fault.body is not None:
            reply = replace(reply, blob=Bytes(fault.body), start=0, stop=None)
        lies = dict(fault.headers)
        if fault.content_range is not None:
            lies["Content-Range"] = fault.content_range
        return replace(reply, headers={**reply.headers, **lies})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._tcp.shutdown()
        self._tcp.hang_up()
        self._tcp.server_close()
        self._thread.join()


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 512

    def __init__(self, owner: WireServer, tls: ssl.SSLContext | None) -> None:
        self.owner = owner
        self.to_reset: set[socket.socket] = set()
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Connection)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self._tls is not None:  # the handshake waits for the connection's own thread
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        with self._lock:
            self._open.add(connection)
        self.owner.connections += 1
        return connection, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        connection = request if isinstance(request, socket.socket) else request[1]
        with self._lock:
            self._open.discard(connection)
        if connection in self.to_reset:  # no orderly end: linger 0 makes the close a reset
            self.to_reset.discard(connection)
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        else:
            super().shutdown_request(connection)

    def hang_up(self) -> None:
        """Wake the threads that wait for a client's next request, or to send to it."""
        with self._lock:
            waiting = list(self._open)
        for connection in waiting:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client closed it first


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    server: _Tcp

    def handle(self) -> None:
        self.owner = self.server.owner
        self.number = self.owner.connections
        try:
            while self._exchange():
                pass
        except (ConnectionError, TimeoutError, ssl.SSLError, ValueError):
            return  # the client left, or does not speak HTTP

    def _exchange(self) -> bool:
        line = self.rfile.readline(1 << 16)
        if not line.strip():
            return False
        request = self._request(line)
        fault, reply = self.owner.strike(request)
        if reply is None:
            self._reset()
            return False
        request.status = reply.status
        whole = self._send(request, reply, fault)
        request.ended = time.monotonic()
        return whole and request.headers.get("connection", "").lower() != "close"

    def _request(self, line: bytes) -> Request:
        verb, target, _ = line.decode("latin-1").split()
        headers = self._headers()
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        method, bucket, key = self.owner.locate(verb, unquote(parts.path), query)
        body = self.rfile.read(int(headers.get("content-length", 0)))
        now = time.monotonic()
        return Request(method, bucket, key, query, headers, body, self.number, now)

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(1 << 16)).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _send(self, request: Request, reply: Reply, fault: Fault) -> bool:
        length = reply.length if fault.content_length is None else fault.content_length
        head = _head(reply, length)
        if request.method == "HEAD" or reply.status == HTTPStatus.NOT_MODIFIED:
            self.connection.sendall(head)
            return True
        self._body(head, request, reply, fault)
        if fault.reset:
            self._reset()
        return request.sent == reply.length == length

    def _body(self, head: bytes, request: Request, reply: Reply, fault: Fault) -> None:
        total = reply.length if fault.cut_after is None else min(reply.length, fault.cut_after)
        began, stalled = time.monotonic(), not fault.stall
        unsent = head
        while request.sent < total or unsent:
            if not stalled and request.sent >= fault.stall_after:
                self.connection.sendall(unsent)
                unsent, stalled = b"", True
                self.owner.pause(fault.stall)
            ahead = total if stalled else min(total, fault.stall_after)
            piece = self._piece(reply, fault, request.sent, ahead)
            self.connection.sendall(unsent + piece if unsent else piece)
            request.sent, unsent = request.sent + len(piece), b""
            if fault.rate:
                self.owner.pause(request.sent / fault.rate - (time.monotonic() - began))
        if not stalled:
            self.owner.pause(fault.stall)

    def _piece(self, reply: Reply, fault: Fault, sent: int, ahead: int) -> bytes:
        step = max(1, int(fault.rate * TICK_SECONDS)) if fault.rate else STEP
        start = reply.start + sent
        stop = reply.start + min(ahead, sent + step)
        return fault.corrupt(reply.blob.read(start, stop), start)

    def _reset(self) -> None:
        self.owner.pause(TICK_SECONDS)  # what was sent arrives before the reset wipes it out
        self.server.to_reset.add(self.connection)


def _head(reply: Reply, length: int) -> bytes:
    fields = {"Server": "AmazonS3", "Content-Length": str(length), **reply.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n{lines}\r\n".encode(
        "latin-1"
    )
